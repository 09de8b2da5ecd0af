//! Forecasts of a fleet step after step, with the model of golden set a: everything anew, and with what the engine
//! keeps from one step to the next. Feeding the step is not counted.
//!
//! ```sh
//! cargo bench --workspace --bench streaming
//! ```
#![expect(clippy::print_stdout, reason = "a benchmark also shows what is kept")]

use std::hint::black_box;
use std::path::Path;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use serde_json::json;
use tft_core::schema::{Profile, Schema};
use tft_core::time::Timestamp;
use tft_core::{Forecaster, ForecasterConfig, Model, Record, RollingWindow, WindowConfig};

const START_MS: i64 = 1_767_571_200_000;
const STEP_MS: i64 = 300_000;
/// Each server's share of the largest cache: what one needs, and some.
const CACHE_BYTES_PER_SERVER: usize = 1 << 20;

/// A fleet that moves on.
struct Fleet {
    window: RollingWindow,
    servers: usize,
    next_step: usize,
}

impl Fleet {
    fn new(servers: usize, steps: usize) -> Self {
        let config = WindowConfig { steps_per_server: steps, ..WindowConfig::default() };
        let window =
            RollingWindow::new(Schema::server_metrics(), config).expect("the configuration is valid");
        let mut fleet = Self { window, servers, next_step: 0 };
        (0..steps).for_each(|_| fleet.advance());
        fleet
    }

    /// Feeds every server's next step.
    fn advance(&mut self) {
        let schema = self.window.schema().clone();
        let (step, at) = (self.next_step, self.now());
        let profile = Profile::new("database").expect("the name is valid");
        for server in 0..self.servers {
            let mut record = Record::new(&schema, &format!("db{server}"), at).expect("the name is valid");
            record =
                record.with_profile(profile.clone()).with_status("healthy").expect("the status is known");
            for (index, metric) in schema.metrics().iter().enumerate() {
                let range = metric.max.unwrap_or(100.0) / 100.0;
                let value = range * value(server * 15 + index, step);
                record = record.with(&metric.name, value).expect("the value is in range");
            }
            self.window.ingest(&[record], at).expect("one record is within the limits");
        }
        self.next_step += 1;
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_millis(START_MS + STEP_MS * self.next_step as i64)
    }
}

/// A daily wave with some roughness, valid as a percentage; deterministic.
fn value(series: usize, step: usize) -> f64 {
    let wave = (step as f64 / 288.0 * std::f64::consts::TAU + series as f64).sin();
    50.0 + 30.0 * wave + ((step * 7919 + series * 104_729) % 97) as f64 / 20.0
}

/// The model, told where the columns come from that names alone do not explain.
fn model() -> Model {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tft-core/tests/fixtures/golden/a/model");
    let read = |name: &str| std::fs::read(folder.join(name)).expect("the fixture is there");
    let mut document: serde_json::Value =
        serde_json::from_slice(&read(Model::DOCUMENT_FILE)).expect("the fixture is JSON");
    let high =
        [("cpu_user_pct", "cpu", 80.0), ("mem_used_pct", "mem", 85.0), ("cpu_iowait_pct", "iowait", 20.0)];
    for (metric, short, limit) in high {
        let sources = &mut document["encoding"]["sources"];
        sources[format!("fleet_pct_high_{short}")] =
            json!({"fleet": {"metric": metric, "statistic": {"share_above": limit}}});
        sources[format!("{short}_vs_fleet")] = json!({"above_fleet_mean": metric});
    }
    let document = serde_json::to_vec(&document).expect("it was JSON");
    Model::from_bytes(&document, &read(Model::WEIGHTS_FILE), "golden set a").expect("the fixture loads")
}

fn steps(criterion: &mut Criterion) {
    let model = model();
    let mut group = criterion.benchmark_group("a step of a fleet, servers");
    group.sample_size(10);
    // `cargo test` runs it without, once.
    let is_test = !std::env::args().any(|argument| argument == "--bench");
    let fleets: &[usize] = if is_test { &[20] } else { &[20, 1000, 10_000] };
    for &servers in fleets {
        let mut fleet = None;
        for (name, threads, share) in [("anew", 1, 0), ("streaming", 1, 1), ("streaming", 2, 1)] {
            let config = ForecasterConfig {
                threads,
                cache_bytes: share * servers * CACHE_BYTES_PER_SERVER,
                ..ForecasterConfig::default()
            };
            let mut forecaster = Forecaster::new(model.clone(), config).expect("the configuration is valid");
            let steps = forecaster.history_steps();
            group.throughput(Throughput::Elements(servers as u64));
            group.bench_function(
                BenchmarkId::new(format!("{name}, threads {threads}"), servers),
                |bencher| {
                    let fleet = fleet.get_or_insert_with(|| Fleet::new(servers, steps));
                    bencher.iter_custom(|times| (0..times).map(|_| step(&mut forecaster, fleet)).sum());
                },
            );
            if fleet.is_some() && share > 0 {
                println!("kept of each server: {} kB", forecaster.kept_bytes() / servers / 1000);
            }
        }
    }
    group.finish();
}

/// Moves on by a step and times its forecast.
fn step(forecaster: &mut Forecaster, fleet: &mut Fleet) -> Duration {
    fleet.advance();
    let now = fleet.now();
    let start = Instant::now();
    black_box(forecaster.forecast(&fleet.window, now).expect("the window fits"));
    start.elapsed()
}

criterion_group!(benches, steps);
criterion_main!(benches);
