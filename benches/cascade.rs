//! What a step of a large fleet costs in cascades and in drift, and the memory that both keep.
//!
//! Run with `cargo bench -p benches --no-default-features --bench cascade`; `TFT_SERVERS` says how many servers, 10,000 by
//! default.

#![allow(clippy::print_stdout, reason = "the result is its output")]

use std::time::{Duration, Instant};

use tft_core::cascade::{CascadeConfig, CascadeDetector};
use tft_core::drift::{CoverageExpectation, DriftConfig, DriftTracker};
use tft_core::schema::Schema;
use tft_core::time::{Step, StepLength};
use tft_core::{Forecaster, ForecasterConfig, Record, RollingWindow, WindowConfig};

const STEP: StepLength = StepLength::FIVE_MINUTES;
const METRICS: usize = 14;
/// Steps before those that are measured: baselines have enough values then, and forecasts of a day's horizons wait.
const WARM_UP_STEPS: i64 = 100;
const MEASURED_STEPS: i64 = 40;

fn main() {
    let servers = std::env::var("TFT_SERVERS").ok().and_then(|text| text.parse().ok()).unwrap_or(10_000);
    let schema = Schema::server_metrics();
    let config = WindowConfig { steps_per_server: 150, servers_max: servers, ..Default::default() };
    let mut window = RollingWindow::new(schema.clone(), config).expect("a valid configuration");
    feed(&mut window, &schema, servers, 0);
    let mut forecaster =
        Forecaster::without_model(STEP, ForecasterConfig::default()).expect("a valid configuration");
    let mut forecast = forecaster.forecast(&window, STEP.end_of(Step(2))).expect("a window that fits");
    let mut detector =
        CascadeDetector::new(CascadeConfig::for_schema(&schema), &schema).expect("a valid configuration");
    let before = resident_bytes();
    let mut tracker = DriftTracker::new(DriftConfig::default(), &schema, CoverageExpectation::default())
        .expect("a valid configuration");
    let (mut cascade, mut drift) = (Vec::new(), Vec::new());
    for step in 1..WARM_UP_STEPS + MEASURED_STEPS {
        feed(&mut window, &schema, servers, step);
        forecast.origin = Step(step);
        let started = Instant::now();
        detector.advance(&window, Step(step));
        let between = Instant::now();
        tracker.advance(&window, &forecast);
        if step >= WARM_UP_STEPS {
            cascade.push(between - started);
            drift.push(between.elapsed());
        }
    }
    let report = tracker.report();
    assert!(report.values > 0 && report.servers_tracked > 0);
    println!("{servers} servers of {METRICS} metrics, {} of them tracked for drift", report.servers_tracked);
    println!("cascades: {:.1?} per step in the median", median(&mut cascade));
    println!("drift: {:.1?} per step in the median", median(&mut drift));
    let state = serde_json::to_vec(&detector.state()).expect("plain data");
    println!("state of cascades: {:.1} MB of JSON", state.len() as f64 / 1e6);
    if let (Some(before), Some(after)) = (before, resident_bytes()) {
        println!("the process grew by {:.0} MB, the window's steps included", (after - before) / 1e6);
    }
}

/// Feeds one step of every server.
fn feed(window: &mut RollingWindow, schema: &Schema, servers: usize, step: i64) {
    let at = STEP.start_of(Step(step));
    let record = |server: usize| {
        let mut record = Record::new(schema, &format!("server-{server:05}"), at).expect("a valid name");
        for metric in 0..METRICS {
            let mixed = (server as u64 * 31 + metric as u64 * 7 + step as u64 * 1009)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15);
            record.set(metric, (mixed >> 40) as f64 / (1_u64 << 24) as f64 * 60.0).expect("a value in range");
        }
        record
    };
    for first in (0..servers).step_by(10_000) {
        let records: Vec<_> = (first..servers.min(first + 10_000)).map(record).collect();
        window.ingest(&records, at).expect("a batch within the limits");
    }
}

fn median(times: &mut [Duration]) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

/// Memory of the process that is in use, where the system tells.
fn resident_bytes() -> Option<f64> {
    const PAGE_BYTES: f64 = 4096.0;
    let text = std::fs::read_to_string("/proc/self/statm").ok()?;
    text.split_whitespace().nth(1)?.parse::<f64>().ok().map(|pages| pages * PAGE_BYTES)
}
