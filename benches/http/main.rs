//! The service over real sockets: feeds and reads per second, how long each takes, and what it costs the server.
//!
//! Starts `tft-service` anew for each load and drives it over connections that stay open. The load shares the machine
//! with the server, so the figure to compare is the server's processor time per request.
//!
//! ```sh
//! cargo bench -p tft-service --bench http                       # all loads, and the start
//! cargo bench -p tft-service --bench http -- --load feed:1000   # one
//! ```
//! `benches/compare/service.py` runs the same loads against `FastAPI`, with `--url`, `--pid` and `--json`.
#![expect(clippy::print_stdout, reason = "a program that measures shows its result")]

mod client;
mod fleet;
mod load;
mod process;
mod start;

use std::net::SocketAddr;

use load::{Effort, Figures, Load};
use process::Service;

/// What the command line asks for.
#[derive(Default)]
struct Options {
    /// The loads to run; none means all.
    loads: Vec<Load>,
    /// A server that runs already, instead of one that is started.
    url: Option<SocketAddr>,
    key: Option<String>,
    /// The process whose time is counted with `url`.
    pid: Option<u32>,
    /// Where the reply to the reads of predictions goes, to serve it elsewhere.
    save_reply: Option<std::path::PathBuf>,
    is_json: bool,
}

/// A server under load.
struct Target {
    address: SocketAddr,
    key: String,
    pid: Option<u32>,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test` runs it without.
    let is_test = !arguments.iter().any(|argument| argument == "--bench");
    let options = Options::parse(&arguments);
    let effort = if is_test { Effort::TEST } else { Effort::BENCH };
    let loads = match (options.loads.is_empty(), is_test) {
        (false, _) => options.loads.clone(),
        (true, true) => Load::SMALL.to_vec(),
        (true, false) => Load::ALL.to_vec(),
    };
    if options.loads.is_empty() && options.url.is_none() {
        println!("{}", start::measure(if is_test { 1 } else { 5 }));
    }
    for load in loads {
        let figures = match options.url {
            Some(address) => {
                let target =
                    Target { address, key: options.key.clone().unwrap_or_default(), pid: options.pid };
                load.run(&target, effort)
            }
            None => run_alone(load, effort, options.save_reply.as_deref()),
        };
        println!("{}", if options.is_json { figures.to_json() } else { figures.to_string() });
    }
}

/// Runs a load on a service of its own, which has the history that the load needs.
fn run_alone(load: Load, effort: Effort, save_reply: Option<&std::path::Path>) -> Figures {
    let service = Service::start();
    let target = service.target();
    if let Load::Predictions { servers, .. } = load {
        fleet::feed_history(&target, servers);
        let reply = fleet::wait_for_forecasts(&target, servers);
        if let Some(path) = save_reply {
            std::fs::write(path, reply).expect("the reply can be written");
        }
    }
    load.run(&target, effort)
}

impl Options {
    fn parse(arguments: &[String]) -> Self {
        let mut options = Self::default();
        let mut arguments = arguments.iter();
        while let Some(argument) = arguments.next() {
            let mut value =
                || arguments.next().unwrap_or_else(|| panic!("{argument} needs a value")).as_str();
            match argument.as_str() {
                "--bench" => {}
                "--load" => options.loads.push(Load::parse(value())),
                "--url" => options.url = Some(value().parse().expect("an address and a port")),
                "--key" => options.key = Some(value().to_owned()),
                "--pid" => options.pid = Some(value().parse().expect("a process id")),
                "--save-reply" => options.save_reply = Some(value().into()),
                "--json" => options.is_json = true,
                other => panic!("`{other}` is not an option of this benchmark"),
            }
        }
        options
    }
}
