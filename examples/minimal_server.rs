//! Runs the service inside a program of one's own.
//!
//! Serves what a window of its own holds on a free loopback port, without a key and without a checkpoint, asks itself
//! for its health, and goes on until Ctrl-C; with `--once` it stops after the answer.
//!
//! ```sh
//! cargo run -p tft-examples --example minimal_server
//! ```
#![expect(clippy::print_stdout, reason = "an example shows its result")]

use std::error::Error;
use std::net::{SocketAddr, TcpListener};

use tft_core::schema::Schema;
use tft_core::store::Store;
use tft_core::{Forecaster, ForecasterConfig, Model, Monitor};
use tft_service::Server;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let forecaster = Forecaster::new(Model::built_in()?, ForecasterConfig::default())?;
    let monitor = Monitor::new(&Schema::server_metrics(), forecaster)?;
    let store = Store::in_memory(tft_service::window_for(&monitor)?);
    let server = Server::builder(store, monitor).listen(TcpListener::bind("127.0.0.1:0")?)?;
    let address = server.local_addr();
    println!("http://{address}");

    let is_once = std::env::args().any(|argument| argument == "--once");
    let stop = async move {
        match health(address).await {
            Ok(reply) => println!("{reply}"),
            Err(error) => println!("no answer: {error}"),
        }
        if !is_once {
            let _ = tokio::signal::ctrl_c().await;
        }
    };
    server.run(stop).await?;
    Ok(())
}

/// Asks for `/health` as any client would.
async fn health(address: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await?;
    let body = reply.split("\r\n\r\n").nth(1).unwrap_or_default();
    Ok(body.to_owned())
}
