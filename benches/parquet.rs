//! Checkpoints of 6,000 and 600,000 records with 14 metrics: 20 and 2,000 servers, 300 steps.
//!
//! Run with `cargo bench -p benches --no-default-features --bench parquet`; `compare/parquet_pyarrow.py` does the same
//! with pyarrow. `save` waits for the disk twice, which pyarrow does not: `encode` is what compares.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use tft_core::schema::{Schema, SchemaConfig};
use tft_core::store;
use tft_core::time::{Step, StepLength, Timestamp};
use tft_core::{Record, RollingWindow, WindowConfig};

/// How many servers there are, and how often each is measured by criterion.
const FLEETS: [(u64, usize); 2] = [(20, 100), (2_000, 10)];
const STEPS: i64 = 300;
const METRICS: usize = 14;

/// The server metrics without the optional one.
fn schema() -> Schema {
    let mut config: SchemaConfig = Schema::server_metrics().config().clone();
    config.metrics.truncate(METRICS);
    Schema::new(config).expect("a part of a valid schema")
}

/// Returns a number in `0..1` that looks random, so that compression has as little to work with as in life.
fn noise(seed: u64) -> f64 {
    let mixed = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((mixed ^ (mixed >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

fn window(servers: u64) -> RollingWindow {
    let schema = schema();
    let mut window =
        RollingWindow::new(schema.clone(), WindowConfig::default()).expect("a valid configuration");
    for step in 0..STEPS {
        let at = StepLength::FIVE_MINUTES.start_of(Step(5_890_000 + step));
        for server in 0..servers {
            let mut record = Record::new(&schema, &format!("ppdb{server:04}"), at).expect("a valid name");
            for metric in 0..METRICS {
                let seed = (step as u64 * servers + server) * METRICS as u64 + metric as u64;
                record.set(metric, 100.0 * noise(seed + 1)).expect("a value in range");
            }
            let record = record.with_status("healthy").expect("a known status");
            window.ingest(&[record], at).expect("a batch within the limits");
        }
    }
    window
}

fn checkpoints(criterion: &mut Criterion) {
    for (servers, samples) in FLEETS {
        checkpoint(criterion, servers, samples);
    }
}

fn checkpoint(criterion: &mut Criterion, servers: u64, samples: usize) {
    let window = window(servers);
    let at = Timestamp::from_millis(1_767_614_400_000);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("window.parquet");
    let saved = store::save(&window, &path, at).expect("a written file");
    assert_eq!(saved.rows, servers * STEPS as u64);
    eprintln!("{} rows, {} bytes", saved.rows, saved.bytes);
    let mut group = criterion.benchmark_group(format!("parquet/{}", saved.rows));
    group.sample_size(samples).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    group.bench_function("save", |bencher| {
        bencher.iter(|| store::save(black_box(&window), &path, at).expect("a written file"));
    });
    group.bench_function("encode", |bencher| {
        bencher.iter(|| store::encode(black_box(&window), at).expect("encoded bytes"));
    });
    group.bench_function("load", |bencher| {
        bencher.iter(|| store::load(&path, schema(), WindowConfig::default()).expect("a readable file"));
    });
    group.finish();
}

criterion_group!(benches, checkpoints);
criterion_main!(benches);
