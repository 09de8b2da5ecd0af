//! The fleet that feeds tell of: 14 metrics per record, names, and times that move on.

use std::fmt::Write as _;
use std::time::{Duration, Instant, SystemTime};

use tft_core::time::Timestamp;

use crate::Target;
use crate::client::{Client, head};

/// Names and a typical level of the metrics.
const METRICS: [(&str, f64); 14] = [
    ("cpu_user_pct", 25.0),
    ("cpu_sys_pct", 8.0),
    ("cpu_iowait_pct", 3.0),
    ("cpu_idle_pct", 64.0),
    ("java_cpu_pct", 20.0),
    ("mem_used_pct", 55.0),
    ("swap_used_pct", 3.0),
    ("disk_usage_pct", 60.0),
    ("net_in_mb_s", 35.0),
    ("net_out_mb_s", 28.0),
    ("back_close_wait", 6.0),
    ("front_close_wait", 5.0),
    ("load_average", 4.0),
    ("uptime_days", 90.0),
];

/// A feed whose times can be moved without writing it anew.
pub(crate) struct Feed {
    body: Vec<u8>,
    /// Where each record's time stands in the body.
    times: Vec<usize>,
    servers: usize,
}

impl Feed {
    /// One record of each server from `first` on, then again from the first one until there are enough, as JSON.
    pub(crate) fn new(first: usize, servers: usize, records: usize) -> Self {
        let mut body = String::from("{\"records\":[");
        let mut times = Vec::with_capacity(records);
        for record in 0..records {
            if record > 0 {
                body.push(',');
            }
            let server = first + record % servers;
            body.push_str("{\"timestamp\":\"");
            times.push(body.len());
            let _ = write!(body, "{TIME}\",\"server_name\":\"ppdb{server:05}\",\"profile\":\"database\"");
            body.push_str(",\"status\":\"healthy\"");
            for (metric, (name, level)) in METRICS.iter().enumerate() {
                let _ = write!(body, ",\"{name}\":{:.2}", level * (0.8 + 0.4 * noise(server, metric)));
            }
            body.push('}');
        }
        body.push_str("]}");
        Self { body: body.into_bytes(), times, servers }
    }

    /// Moves the records to a time in whole seconds, those of each round a second later, and returns the body.
    pub(crate) fn at(&mut self, at: Timestamp) -> &[u8] {
        for (round, places) in self.times.chunks(self.servers).enumerate() {
            let text = at.plus_millis(round as i64 * 1000).to_string();
            assert_eq!(text.len(), TIME.len(), "{text} has the length of {TIME}");
            for &place in places {
                self.body[place..place + TIME.len()].copy_from_slice(text.as_bytes());
            }
        }
        &self.body
    }

    /// How many records each server has.
    pub(crate) fn rounds(&self) -> usize {
        self.times.len().div_ceil(self.servers)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.body.len()
    }
}

/// Feeds the steps that the model needs, up to now.
pub(crate) fn feed_history(target: &Target, servers: usize) {
    let mut client = Client::connect(target.address).expect("the server listens");
    let feed = |first| Feed::new(first, 1000.min(servers - first), 1000.min(servers - first));
    let mut feeds: Vec<Feed> = (0..servers).step_by(1000).map(feed).collect();
    let start = now().plus_millis(-HISTORY_STEPS * STEP_MS);
    for step in 0..HISTORY_STEPS {
        for feed in &mut feeds {
            let head = head("POST", "/feed/data", &target.key, Some(("application/json", feed.bytes())));
            let body = feed.at(start.plus_millis(step * STEP_MS));
            let reply = client.send(&head, body).expect("an answer");
            assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(reply.body));
        }
    }
}

/// Waits until the model forecasts every server; returns the whole reply.
pub(crate) fn wait_for_forecasts(target: &Target, servers: usize) -> Vec<u8> {
    let mut client = Client::connect(target.address).expect("the server listens");
    let head = head("GET", "/predictions/current", &target.key, None);
    let deadline = Instant::now() + Duration::from_mins(2);
    loop {
        let reply = client.send(&head, &[]).expect("an answer");
        let value: serde_json::Value = serde_json::from_slice(reply.body).expect("JSON");
        let methods = value["metadata"]["method"].as_object();
        let by_model =
            methods.map_or(0, |methods| methods.values().filter(|method| *method == "tft").count());
        if by_model == servers {
            return reply.body.to_vec();
        }
        assert!(Instant::now() < deadline, "{by_model} of {servers} servers have a forecast of the model");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The present second.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("the clock is set");
    Timestamp::from_millis(since.as_secs() as i64 * 1000)
}

/// A number in `0..1` that is the same in every run.
fn noise(server: usize, metric: usize) -> f64 {
    let mixed = (server * METRICS.len() + metric) as u64;
    let mixed = (mixed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed >> 11) as f64 / (1_u64 << 53) as f64
}

const TIME: &str = "2026-01-05T12:00:00Z";
/// A little more than the built-in model needs.
const HISTORY_STEPS: i64 = 160;
const STEP_MS: i64 = 300_000;
