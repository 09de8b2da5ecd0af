//! Limits that two services share through a real Redis, and how they go on without it.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tft_service::config::{RateLimits, RedisLimits};

use crate::harness::TestServer;

/// A Redis of the test's own; killed when dropped.
struct Redis {
    child: Child,
    port: u16,
    _directory: TempDir,
}

impl Redis {
    /// Starts one on a port that was free; none where there is no such program.
    fn start() -> Option<Self> {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        Self::start_on(free)
    }

    fn start_on(port: u16) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new("redis-server");
        command.args([
            "--port",
            &port.to_string(),
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
        ]);
        command.current_dir(directory.path()).stdout(Stdio::null());
        let Ok(child) = command.spawn() else {
            eprintln!("skipped: there is no redis-server to share limits through");
            return None;
        };
        let redis = Self { child, port, _directory: directory };
        let deadline = Instant::now() + Duration::from_mins(1);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(Instant::now() < deadline, "redis-server did not start in time");
            std::thread::sleep(Duration::from_millis(10));
        }
        Some(redis)
    }

    fn stop(mut self) -> u16 {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.port
    }

    fn limits(&self) -> RedisLimits {
        let mut limits = RedisLimits::new(&format!("redis://127.0.0.1:{}/0", self.port));
        // Enough on a machine that is busy with other tests.
        limits.timeout = Duration::from_secs(5);
        limits
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn two_services(limits: &RateLimits) -> [TestServer; 2] {
    [(); 2].map(|()| TestServer::with(|config| config.rate_limits = limits.clone()))
}

fn passed(servers: &[&TestServer], calls: usize) -> usize {
    let call = |count: usize| servers[count % servers.len()].get("/alerts/active").status == 200;
    (0..calls).filter(|&count| call(count)).count()
}

#[test]
fn two_services_share_a_limit_and_go_on_alone_without_redis() {
    let Some(redis) = Redis::start() else { return };
    let mut limits = RateLimits::default();
    limits.redis = Some(redis.limits());
    let [one, other] = two_services(&limits);
    assert_eq!(passed(&[&one, &other], 100), 30);
    let refused = one.get("/alerts/active");
    assert_eq!((refused.status, refused.header("X-RateLimit-Remaining")), (429, Some("0")));
    assert!(refused.header("Retry-After").unwrap().parse::<u64>().unwrap() >= 1);
    let port = redis.stop();
    // Each knows of the fifteen calls that passed through it.
    assert_eq!((passed(&[&one], 50), passed(&[&other], 50)), (15, 15));
    // A fresh Redis has counted nothing; both come back to it by themselves.
    let _redis = Redis::start_on(port).unwrap();
    for server in [&one, &other] {
        server.clock.advance(Duration::from_secs(1));
    }
    assert_eq!(passed(&[&one, &other], 100), 30);
}

#[test]
fn calls_at_the_same_time_share_the_limit_too() {
    let Some(redis) = Redis::start() else { return };
    let mut limits = RateLimits::default();
    limits.redis = Some(redis.limits());
    let servers = two_services(&limits);
    let counts: Vec<usize> = std::thread::scope(|scope| {
        let threads: Vec<_> = [0, 1, 0, 1]
            .map(|index| {
                scope.spawn({
                    let servers = &servers;
                    move || passed(&[&servers[index]], 25)
                })
            })
            .into();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(counts.iter().sum::<usize>(), 30, "{counts:?}");
}

#[test]
fn tiers_and_failed_authentications_are_shared() {
    let Some(redis) = Redis::start() else { return };
    let mut limits = RateLimits::default();
    limits.redis = Some(redis.limits());
    limits.tiers = RateLimits::parse_tiers("gold=1/h:7").unwrap();
    let key = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";
    let servers = [(); 2].map(|()| {
        TestServer::with(|config| {
            config.rate_limits = limits.clone();
            config.auth.keys.api_keys = Some(format!("a:{key}:read:gold"));
        })
    });
    let statuses = |key: &str, calls: usize| -> Vec<u16> {
        let ask = |count: usize| {
            servers[count % 2].request("GET", "/alerts/active").header("X-API-Key", key).send()
        };
        (0..calls).map(|count| ask(count).status).collect()
    };
    let passed = statuses(key, 20).iter().filter(|&&status| status == 200).count();
    assert_eq!(passed, 7);
    let refused = statuses("wrong", 40);
    assert!(
        refused[..30].iter().all(|&status| status == 403)
            && refused[30..].iter().all(|&status| status == 429)
    );
}
