//! Loads: what clients send, for how long, and the figures that come of it.

use std::fmt;
use std::time::{Duration, Instant};

use crate::Target;
use crate::client::{Client, head};
use crate::fleet::{Feed, now};
use crate::process::cpu_time;

/// What clients do all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// `POST /feed/data` with this many records.
    Feed { records: usize },
    /// `GET /predictions/current` of a fleet of this many servers.
    Predictions { servers: usize, is_arrow: bool },
}

/// How much of a load is enough.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    duration: Duration,
    /// Below the highest rate limit that the service takes, which is per minute.
    requests_max: usize,
    clients: usize,
}

/// What a load came to.
pub(crate) struct Figures {
    load: Load,
    requests: usize,
    request_bytes: usize,
    reply_bytes: usize,
    elapsed: Duration,
    /// Sorted.
    latencies: Vec<Duration>,
    /// Of the server, in all its threads.
    cpu: Option<Duration>,
}

/// What one client saw.
#[derive(Default)]
struct Seen {
    latencies: Vec<Duration>,
    request_bytes: usize,
    reply_bytes: usize,
}

impl Effort {
    pub(crate) const BENCH: Self =
        Self { duration: Duration::from_secs(5), requests_max: 90_000, clients: 2 };
    pub(crate) const TEST: Self = Self { duration: Duration::from_mins(1), requests_max: 4, clients: 2 };
}

impl Load {
    pub(crate) const ALL: [Self; 7] = [
        Self::Feed { records: 20 },
        Self::Feed { records: 1000 },
        Self::Feed { records: 10_000 },
        Self::Predictions { servers: 20, is_arrow: false },
        Self::Predictions { servers: 20, is_arrow: true },
        Self::Predictions { servers: 1000, is_arrow: false },
        Self::Predictions { servers: 1000, is_arrow: true },
    ];
    pub(crate) const SMALL: [Self; 3] = [
        Self::Feed { records: 20 },
        Self::Predictions { servers: 2, is_arrow: false },
        Self::Predictions { servers: 2, is_arrow: true },
    ];

    /// Parses `feed:RECORDS`, `predictions:SERVERS` or `predictions:SERVERS:arrow`.
    pub(crate) fn parse(text: &str) -> Self {
        let mut parts = text.split(':');
        let (kind, count) = (parts.next(), parts.next().and_then(|count| count.parse().ok()));
        match (kind, count, parts.next()) {
            (Some("feed"), Some(records), None) => Self::Feed { records },
            (Some("predictions"), Some(servers), None) => Self::Predictions { servers, is_arrow: false },
            (Some("predictions"), Some(servers), Some("arrow")) => {
                Self::Predictions { servers, is_arrow: true }
            }
            _ => panic!("`{text}` is no load like `feed:1000` or `predictions:20:arrow`"),
        }
    }

    /// Drives a server and counts. Memory for new servers is got before, by the first feeds.
    pub(crate) fn run(self, target: &Target, effort: Effort) -> Figures {
        for client in 0..effort.clients {
            self.drive(target, Effort { requests_max: effort.clients, ..effort }, client, 0);
        }
        let cpu_before = target.pid.map(cpu_time);
        let started = Instant::now();
        let seen: Vec<Seen> = std::thread::scope(|scope| {
            let clients: Vec<_> = (0..effort.clients)
                .map(|client| scope.spawn(move || self.drive(target, effort, client, 1)))
                .collect();
            clients.into_iter().map(|client| client.join().expect("a client does not panic")).collect()
        });
        let elapsed = started.elapsed();
        let cpu =
            target.pid.map(cpu_time).zip(cpu_before).map(|(after, before)| after.saturating_sub(before));
        let mut latencies: Vec<Duration> = seen.iter().flat_map(|seen| seen.latencies.clone()).collect();
        latencies.sort_unstable();
        Figures {
            load: self,
            requests: latencies.len(),
            request_bytes: seen.iter().map(|seen| seen.request_bytes).sum(),
            reply_bytes: seen.iter().map(|seen| seen.reply_bytes).sum(),
            elapsed,
            latencies,
            cpu,
        }
    }

    /// One client's part; of feeds the first ones are left out.
    fn drive(self, target: &Target, effort: Effort, client: usize, left_out: i64) -> Seen {
        let mut connection = Client::connect(target.address).expect("the server listens");
        let mut requests = self.requests(target, client, left_out);
        let mut seen = Seen::default();
        let (started, share) = (Instant::now(), effort.requests_max / effort.clients);
        while started.elapsed() < effort.duration && seen.latencies.len() < share {
            let (head, body) = requests.next_request();
            let sent = Instant::now();
            let reply = connection.send(head, body).expect("an answer");
            seen.latencies.push(sent.elapsed());
            assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(reply.body));
            seen.request_bytes += head.len() + body.len();
            seen.reply_bytes += reply.body.len();
        }
        seen
    }

    fn requests(self, target: &Target, client: usize, left_out: i64) -> Requests {
        let (head, feed) = match self {
            Self::Feed { records } => {
                // Servers of its own, whose times move on without regard to other clients.
                let servers = records.min(SERVERS_PER_CLIENT);
                let feed = Feed::new(client * servers, servers, records);
                let body = Some(("application/json", feed.bytes()));
                (head("POST", "/feed/data", &target.key, body), Some(feed))
            }
            Self::Predictions { is_arrow, .. } => {
                let path =
                    if is_arrow { "/predictions/current?format=arrow" } else { "/predictions/current" };
                (head("GET", path, &target.key, None), None)
            }
        };
        let interval_ms = feed.as_ref().map_or(0, |feed| INTERVAL_MS.max(feed.rounds() as i64 * 1000));
        Requests { head, feed, interval_ms, at: now().plus_millis(left_out * interval_ms - HISTORY_MS) }
    }
}

/// The requests of one client, one after the other.
struct Requests {
    head: Vec<u8>,
    feed: Option<Feed>,
    interval_ms: i64,
    at: tft_core::time::Timestamp,
}

impl Requests {
    fn next_request(&mut self) -> (&[u8], &[u8]) {
        let Some(feed) = &mut self.feed else { return (&self.head, &[]) };
        self.at = self.at.plus_millis(self.interval_ms);
        (&self.head, feed.at(self.at))
    }
}

impl Figures {
    fn percentile_ms(&self, share: f64) -> f64 {
        let last = self.latencies.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.latencies.get(at).map_or(f64::NAN, |latency| latency.as_secs_f64() * 1e3)
    }

    /// Microseconds of the server's processors per request.
    fn cpu_us(&self) -> Option<f64> {
        self.cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / self.requests as f64)
    }

    fn per_second(&self) -> f64 {
        self.requests as f64 / self.elapsed.as_secs_f64()
    }

    /// One line for `compare/service.py`.
    pub(crate) fn to_json(&self) -> String {
        serde_json::json!({
            "load": self.load.to_string(),
            "requests": self.requests,
            "requests_per_second": self.per_second(),
            "cpu_us_per_request": self.cpu_us(),
            "p50_ms": self.percentile_ms(0.5),
            "p99_ms": self.percentile_ms(0.99),
            "request_bytes": self.request_bytes / self.requests,
            "reply_bytes": self.reply_bytes / self.requests,
        })
        .to_string()
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Feed { records } => write!(f, "feed:{records}"),
            Self::Predictions { servers, is_arrow: false } => write!(f, "predictions:{servers}"),
            Self::Predictions { servers, is_arrow: true } => write!(f, "predictions:{servers}:arrow"),
        }
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = (self.request_bytes + self.reply_bytes) / self.requests;
        write!(f, "{}: {:.0} requests/s of {bytes} bytes", self.load, self.per_second())?;
        if let Load::Feed { records } = self.load {
            write!(f, ", {:.0} records/s", self.per_second() * records as f64)?;
        }
        write!(f, ", p50 {:.2} ms, p99 {:.2} ms", self.percentile_ms(0.5), self.percentile_ms(0.99))?;
        match self.cpu_us() {
            Some(cpu_us) => write!(f, "; {cpu_us:.0} µs of the server's processors per request"),
            None => Ok(()),
        }
    }
}

/// Feeds of more records have several of each server, a second apart.
const SERVERS_PER_CLIENT: usize = 1_000;
/// Feeds begin this long ago, so that none is from the future.
const HISTORY_MS: i64 = 3 * 24 * 3_600_000;
/// From one feed of a client to the next, by the records' own clock.
const INTERVAL_MS: i64 = 5_000;
