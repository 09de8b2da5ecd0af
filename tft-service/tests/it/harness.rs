//! A service within the test's process, with its own clock and files.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use tft_core::time::Timestamp;
use tft_service::clock::ManualClock;
use tft_service::config::AuthConfig;
use tft_service::{Config, ReloadHandle, Server, ServiceError, StreamCounters};
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::client::{Reply, Request};

/// The key that every test server requires.
pub(crate) const KEY: &str = "3f0a5c7e91b24d68a7c0e2f4961b8d35";

/// When the test clock starts.
pub(crate) const NOW: &str = "2026-01-05T12:02:00Z";

/// A running service; stopped and its files removed when dropped.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    /// Every address that it listens on.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "the tests of TLS ask"))]
    pub(crate) addresses: Vec<SocketAddr>,
    /// The plain listener beside https.
    #[cfg_attr(not(feature = "tls"), allow(dead_code, reason = "the tests of TLS ask"))]
    pub(crate) redirect: Option<SocketAddr>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) directory: TempDir,
    pub(crate) streams: Arc<StreamCounters>,
    pub(crate) reload: ReloadHandle,
    runtime: Runtime,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<Result<(), ServiceError>>>,
}

impl TestServer {
    pub(crate) fn start() -> Self {
        Self::with(|_| ())
    }

    /// Starts a service whose configuration a test has changed.
    pub(crate) fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::in_directory(tempfile::tempdir().unwrap(), change)
    }

    pub(crate) fn in_directory(directory: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config::default();
        config.port = 0;
        config.auth = AuthConfig::with_key(KEY);
        config.persistence_file = Some(directory.path().join("window.parquet"));
        config.intervals.inference = Duration::from_millis(10);
        change(&mut config);
        let clock = Arc::new(ManualClock::new(Timestamp::parse(NOW).unwrap()));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let server = Server::bind(&config, clock.clone()).unwrap();
        let (address, addresses, redirect) =
            (server.local_addr(), server.local_addrs(), server.redirect_addr());
        let reload = server.reload_handle();
        let streams = server.stream_counters();
        let (stop, stopped) = oneshot::channel();
        let running = runtime.spawn(server.run(async move {
            let _ = stopped.await;
        }));
        Self {
            address,
            addresses,
            redirect,
            clock,
            directory,
            reload,
            streams,
            runtime,
            stop: Some(stop),
            running: Some(running),
        }
    }

    /// Runs what a client does, beside the service.
    pub(crate) fn block_on<T>(&self, client: impl Future<Output = T>) -> T {
        self.runtime.block_on(client)
    }

    /// Stops the service and returns its files.
    pub(crate) fn stop(mut self) -> TempDir {
        drop(self.stop.take());
        let running = self.running.take().unwrap();
        self.runtime.block_on(running).unwrap().unwrap();
        self.directory
    }

    pub(crate) fn checkpoint(&self) -> PathBuf {
        self.directory.path().join("window.parquet")
    }

    /// A request without a key.
    pub(crate) fn request(&self, method: &str, target: &str) -> Request {
        Request::new(self.address, method, target)
    }

    /// A request with the key.
    pub(crate) fn with_key(&self, method: &str, target: &str) -> Request {
        self.request(method, target).header("X-API-Key", KEY)
    }

    pub(crate) fn get(&self, target: &str) -> Reply {
        self.with_key("GET", target).send()
    }

    /// Feeds a body as it is.
    pub(crate) fn feed(&self, body: impl Into<Vec<u8>>) -> Reply {
        self.with_key("POST", "/feed/data").json(body).send()
    }

    /// Feeds records, all of which must be taken.
    pub(crate) fn feed_records(&self, records: &[Value]) -> Value {
        let reply = self.feed(json!({ "records": records }).to_string());
        assert_eq!(reply.status, 200, "{}", reply.body);
        let reply = reply.json();
        assert_eq!(reply["rejected"], 0, "{reply}");
        reply
    }

    /// Waits until the first forecasts are out: replies do not change by themselves from there on.
    pub(crate) fn wait_until_ready(&self) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while self.request("GET", "/health/ready").send().status != 200 {
            assert!(Instant::now() < deadline, "not ready in time");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until the snapshot knows as many steps as the window had after the last feed.
    pub(crate) fn predictions_of(&self, input_points: u64) -> Value {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            let reply = self.get("/predictions/current").json();
            if reply["metadata"]["input_points"] == input_points {
                return reply;
            }
            assert!(
                Instant::now() < deadline,
                "no forecast of {input_points} points in time: {}",
                reply["metadata"]
            );
            // The inference thread rests between two forecasts of one origin, by the clock that stands still.
            self.clock.advance(Duration::from_millis(20));
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The open reply that tells how much the window holds.
    pub(crate) fn status(&self) -> Value {
        self.request("GET", "/status").send().json()
    }
}

/// Records of one server every five minutes; the last one at noon of the test's day.
pub(crate) fn history(server: &str, steps: u32, value: impl Fn(u32) -> f64) -> Vec<Value> {
    let end = Timestamp::parse("2026-01-05T12:00:00Z").unwrap();
    let record = |step: u32| {
        let at = end.plus_millis(-300_000 * i64::from(steps - 1 - step));
        let busy = value(step);
        json!({
            "timestamp": at.to_string(), "server_name": server, "status": "OK",
            "cpu_user_pct": busy, "cpu_idle_pct": 100.0 - busy, "mem_used_pct": 60.0, "load_average": 4.0,
        })
    };
    (0..steps).map(record).collect()
}
