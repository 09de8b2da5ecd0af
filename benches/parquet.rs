//! The checkpoint of 6,000 records with 14 metrics: 20 servers, 300 steps.
//!
//! Run with `cargo bench -p benches --no-default-features --bench parquet`.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use tft_core::schema::{Schema, SchemaConfig};
use tft_core::store;
use tft_core::time::{Step, StepLength, Timestamp};
use tft_core::{Record, RollingWindow, WindowConfig};

const SERVERS: u64 = 20;
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

fn window() -> RollingWindow {
    let schema = schema();
    let mut window =
        RollingWindow::new(schema.clone(), WindowConfig::default()).expect("a valid configuration");
    for step in 0..STEPS {
        let at = StepLength::FIVE_MINUTES.start_of(Step(5_890_000 + step));
        for server in 0..SERVERS {
            let mut record = Record::new(&schema, &format!("ppdb{server:03}"), at).expect("a valid name");
            for metric in 0..METRICS {
                let seed = (step as u64 * SERVERS + server) * METRICS as u64 + metric as u64;
                record.set(metric, 100.0 * noise(seed + 1)).expect("a value in range");
            }
            let record = record.with_status("healthy").expect("a known status");
            window.ingest(&[record], at).expect("a batch within the limits");
        }
    }
    window
}

fn checkpoint(criterion: &mut Criterion) {
    let window = window();
    let at = Timestamp::from_millis(1_767_614_400_000);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("window.parquet");
    let saved = store::save(&window, &path, at).expect("a written file");
    assert_eq!(saved.rows, SERVERS * STEPS as u64);
    eprintln!("{} rows, {} bytes", saved.rows, saved.bytes);
    let mut group = criterion.benchmark_group("parquet");
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

criterion_group!(benches, checkpoint);
criterion_main!(benches);
