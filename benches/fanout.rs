//! An update to many live streams, once, without criterion: from the feed that causes it to the last client's receipt,
//! and what it costs.
//!
//! Run with `TFT_CLIENTS=100 cargo bench -p benches --bench fanout`. Service and clients share one process, so that the
//! processor time is that of both ends.
#![allow(clippy::print_stdout, reason = "the result is its output")]

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tft_core::schema::Schema;
use tft_core::store::Store;
use tft_core::time::Timestamp;
use tft_core::{Forecaster, ForecasterConfig, Model, Monitor};
use tft_service::clock::ManualClock;
use tft_service::{Config, Server, window_for};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

const SERVERS: usize = 20;
const STEP_MS: i64 = 300_000;

type Failure = Box<dyn std::error::Error>;

/// Starts a service without a key, in which one address may have any number of streams.
fn start(clients: usize, clock: Arc<ManualClock>) -> Result<SocketAddr, Failure> {
    let mut config = Config::default();
    config.stream.clients_max = clients;
    config.stream.clients_per_principal_max = clients;
    config.limits.connections_max = clients + 10;
    config.rate_limits.feed = 100_000;
    config.rate_limits.other = 100_000;
    config.intervals.inference = Duration::from_millis(1);
    let monitor = Monitor::new(
        &Schema::server_metrics(),
        Forecaster::new(Model::built_in()?, ForecasterConfig::default())?,
    )?;
    let store = Store::in_memory(window_for(&monitor)?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let server = Server::builder(store, monitor).config(config).clock(clock).listen(listener)?;
    let address = server.local_addr();
    tokio::spawn(server.run(std::future::pending()));
    Ok(address)
}

/// Feeds every server's next step over a connection that ends with the reply.
async fn feed(address: SocketAddr, at: Timestamp) -> Result<(), Failure> {
    let record = |server: usize| {
        json!({
            "timestamp": at.to_string(), "server_name": format!("db{server:03}"), "status": "OK",
            "cpu_user_pct": 20.0, "cpu_idle_pct": 80.0, "mem_used_pct": 60.0, "load_average": 4.0,
        })
    };
    let body = json!({"records": (0..SERVERS).map(record).collect::<Vec<_>>()}).to_string();
    let head = format!(
        "POST /feed/data HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all((head + &body).as_bytes()).await?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await?;
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    Ok(())
}

/// Opens a stream, and tells of the tick and the length of each update.
async fn open(
    address: SocketAddr,
    told: mpsc::UnboundedSender<(u64, usize, Instant)>,
) -> Result<(), Failure> {
    let stream = TcpStream::connect(address).await?;
    let (mut socket, _) = client_async(format!("ws://{address}/ws"), stream).await?;
    // The present state says that the stream follows from here on.
    socket.next().await.ok_or("no state")??;
    tokio::spawn(async move {
        while let Some(Ok(message)) = socket.next().await {
            let now = Instant::now();
            if let Message::Text(text) = message
                && text.starts_with(r#"{"type":"data_update""#)
            {
                let tick =
                    serde_json::from_str::<Value>(&text).ok().and_then(|update| update["tick"].as_u64());
                let _ = told.send((tick.unwrap_or_default(), text.len(), now));
            }
        }
    });
    Ok(())
}

/// Returns the processor time of this process, if the operating system tells it.
fn cpu_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(Duration::from_millis(ticks * 10))
}

async fn measure(clients: usize, rounds: u64) -> Result<(), Failure> {
    let mut now = Timestamp::parse("2026-01-05T12:00:00Z")?;
    let clock = Arc::new(ManualClock::new(now));
    let address = start(clients, Arc::clone(&clock))?;
    let (told, mut updates) = mpsc::unbounded_channel();
    for _ in 0..clients {
        open(address, told.clone()).await?;
    }
    let (mut whole, mut spread, mut bytes) = (Vec::new(), Vec::new(), 0);
    let cpu_before = cpu_time();
    for round in 1..=rounds {
        let started = Instant::now();
        feed(address, now).await?;
        let mut receipts = Vec::new();
        while receipts.len() < clients {
            let (tick, length, at) = updates.recv().await.ok_or("the streams ended")?;
            // An assessment in between tells of the feed before.
            if tick == round {
                receipts.push(at);
                bytes = length;
            }
        }
        receipts.sort();
        whole.push(receipts[clients - 1] - started);
        spread.push(receipts[clients - 1] - receipts[0]);
        now = now.plus_millis(STEP_MS);
        clock.advance(Duration::from_millis(STEP_MS as u64));
    }
    let cpu = cpu_before.zip(cpu_time()).map(|(before, after)| after.saturating_sub(before));
    whole.sort();
    spread.sort();
    let middle = whole.len() / 2;
    println!("{clients} clients, {SERVERS} servers, {rounds} updates of {bytes} bytes");
    println!(
        "from the feed to the last receipt, median: {:?}, worst: {:?}",
        whole[middle],
        whole[whole.len() - 1]
    );
    println!(
        "from the first receipt to the last, median: {:?}, worst: {:?}",
        spread[middle],
        spread[spread.len() - 1]
    );
    if let Some(cpu) = cpu {
        println!("processor time of both ends, per message: {:?}", cpu / (rounds as u32 * clients as u32));
    }
    Ok(())
}

fn main() -> Result<(), Failure> {
    // `cargo test` runs it without, once and small.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let asked = std::env::var("TFT_CLIENTS").ok().and_then(|count| count.parse().ok());
    let (clients, rounds) = if is_test { (5, 2) } else { (asked.unwrap_or(100), 50) };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(measure(clients, rounds))
}
