//! The service as a process of its own, and what Linux knows about it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Target;
use crate::client::{Client, head};

const KEY: &str = "5d1c0f4a9be7433f8a6a2f0d9c8b7e61";
/// The highest that the service takes, per minute.
const LIMIT: &str = "100000";

/// A running `tft-service`; killed when dropped.
pub(crate) struct Service {
    child: Child,
    address: SocketAddr,
    _directory: TempDir,
    /// From the start of the process to its first answer.
    pub(crate) start: Duration,
}

impl Service {
    /// Starts a service without history and waits until it answers.
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut command = Command::new(env!("CARGO_BIN_EXE_tft-service"));
        command.env_clear().current_dir(directory.path()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.args(["serve", "--port", "0"]).env("TFT_API_KEY", KEY);
        for limit in ["RATE_LIMIT_FEED", "RATE_LIMIT_PREDICTIONS", "RATE_LIMIT_ALERTS"] {
            command.env(limit, LIMIT);
        }
        let started = Instant::now();
        let mut child = command.spawn().expect("the service starts");
        let mut log = BufReader::new(child.stderr.take().expect("its log is piped")).lines();
        let address = loop {
            let line = log.next().expect("the service says where it listens").expect("text");
            if let Some((_, address)) = line.split_once("listening address=") {
                break address.trim().parse().expect("an address");
            }
        };
        // Whoever does not read a log stops its writer.
        std::thread::spawn(move || log.for_each(drop));
        let mut client = Client::connect(address).expect("the service listens");
        let status = client.send(&head("GET", "/health", KEY, None), &[]).expect("an answer").status;
        assert_eq!(status, 200);
        Self { child, address, _directory: directory, start: started.elapsed() }
    }

    pub(crate) fn target(&self) -> Target {
        Target { address: self.address, key: KEY.to_owned(), pid: Some(self.child.id()) }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Time that a process has spent on processors, by hundredths of a second, except for forecasts: those are due once
/// per step of the records' clock, which runs hundreds of times as fast under a load as in life.
pub(crate) fn cpu_time(pid: u32) -> Duration {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).expect("the server runs, on Linux");
    let stats = tasks.flatten().filter_map(|task| std::fs::read_to_string(task.path().join("stat")).ok());
    let forecasts: u64 = stats.filter(|stat| stat.contains("(inference)")).map(|stat| ticks(&stat)).sum();
    let all = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the server runs, on Linux");
    Duration::from_millis((ticks(&all) - forecasts) * 10)
}

/// User and system time of a line of `/proc`.
fn ticks(stat: &str) -> u64 {
    // The name, in parentheses, may hold spaces.
    let rest = stat.rsplit_once(')').expect("a name in parentheses").1;
    rest.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks")).sum()
}

/// Memory of a process that is resident, in kilobytes.
pub(crate) fn resident_kb(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("the server runs, on Linux");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("resident memory");
    line.split_whitespace().next().and_then(|kb| kb.parse().ok()).expect("kilobytes")
}
