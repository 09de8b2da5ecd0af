//! Samples into the window, and its history out of it.
//!
//! Run with `cargo bench -p benches --no-default-features --bench window`.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tft_core::schema::Schema;
use tft_core::time::{Step, StepLength, Timestamp};
use tft_core::{Feed, FeedLimits, Record, RollingWindow, WindowConfig};

const SERVERS: usize = 1_000;
const STEP: StepLength = StepLength::FIVE_MINUTES;

/// One sample of every server with a value for each metric.
fn batch(schema: &Schema, at: Timestamp) -> Vec<Record> {
    let record = |server: usize| {
        let mut record = Record::new(schema, &format!("server-{server:04}"), at).expect("a valid name");
        for metric in 0..schema.metrics().len() {
            let value = ((server * 31 + metric * 7) % 100) as f64 / 100.0;
            record.set(metric, value).expect("a value in range");
        }
        record
    };
    (0..SERVERS).map(record).collect()
}

fn body(schema: &Schema, at: Timestamp) -> String {
    let mut body = String::from(r#"{"records":["#);
    for (index, record) in batch(schema, at).iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        let (at, server) = (record.timestamp(), record.server());
        write!(body, r#"{comma}{{"timestamp":"{at}","server_name":"{server}","status":"healthy""#)
            .expect("memory");
        for (metric, value) in schema.metrics().iter().zip(record.values()) {
            write!(body, r#","{}":{value}"#, metric.name).expect("memory");
        }
        body.push('}');
    }
    body + "]}"
}

fn full_window(schema: &Schema) -> RollingWindow {
    let mut window =
        RollingWindow::new(schema.clone(), WindowConfig::default()).expect("a valid configuration");
    for step in 0..576 {
        let at = STEP.start_of(Step(step));
        window.ingest(&batch(schema, at), at).expect("a batch within the limits");
    }
    window
}

/// A batch for a known fleet: a sample in the newest step, the first sample of a new one, and the first one
/// while a clone of the window is at work, when every history is copied.
fn ingest(criterion: &mut Criterion) {
    let schema = Schema::server_metrics();
    let window = full_window(&schema);
    let newest = STEP.start_of(Step(575));
    let again = batch(&schema, newest);
    let unshared = || {
        let mut window = window.clone();
        window.ingest(&again, newest).expect("a batch within the limits");
        window
    };
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Elements(SERVERS as u64));
    let ingest = |records: &[Record], mut window: RollingWindow| {
        let now = records[0].timestamp();
        black_box(window.ingest(records, now).expect("a batch within the limits"));
        window
    };
    for (name, millis) in [("same step", 60_000), ("next step", STEP.as_millis())] {
        let records = batch(&schema, newest.plus_millis(millis));
        group.bench_function(name, |bencher| {
            bencher.iter_batched(unshared, |window| ingest(&records, window), BatchSize::LargeInput);
        });
    }
    group.bench_function("beside a clone", |bencher| {
        bencher.iter_batched(|| window.clone(), |window| ingest(&again, window), BatchSize::LargeInput);
    });
    group.bench_function("clone", |bencher| bencher.iter(|| black_box(window.clone())));
    group.finish();
}

/// Samples that follow each other as in operation: one per server and minute, with warm buffers.
fn ingest_live(criterion: &mut Criterion) {
    let schema = Schema::server_metrics();
    let mut window = full_window(&schema);
    let mut group = criterion.benchmark_group("ingest");
    group.throughput(Throughput::Elements(SERVERS as u64));
    let mut at = STEP.start_of(Step(576));
    group.bench_function("one sample a minute", |bencher| {
        bencher.iter_batched(
            || {
                at = at.plus_millis(60_000);
                (batch(&schema, at), at)
            },
            |(records, at)| black_box(window.ingest(&records, at).expect("a batch within the limits")),
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

fn parse(criterion: &mut Criterion) {
    let schema = Schema::server_metrics();
    let body = body(&schema, Timestamp::from_millis(1_767_614_400_000));
    let mut group = criterion.benchmark_group("feed");
    group.throughput(Throughput::Bytes(body.len() as u64));
    group.bench_function("from_json", |bencher| {
        bencher.iter(|| {
            Feed::from_json(black_box(body.as_bytes()), &schema, &FeedLimits::default())
                .expect("a valid feed")
        });
    });
    group.finish();
}

/// All metrics of all servers, 288 steps each.
fn history(criterion: &mut Criterion) {
    let schema = Schema::server_metrics();
    let window = full_window(&schema);
    let metrics = schema.metrics().len();
    let mut out = vec![0.0_f32; 288];
    let mut group = criterion.benchmark_group("history");
    group.throughput(Throughput::Elements((SERVERS * metrics) as u64));
    group.bench_function("copy_filled_history", |bencher| {
        bencher.iter(|| {
            for server in window.servers() {
                for metric in 0..metrics {
                    server.copy_filled_history(metric, Step(575), black_box(&mut out));
                }
            }
        });
    });
    group.bench_function("readiness", |bencher| {
        bencher.iter(|| {
            window.servers().filter(|server| server.readiness(Step(575), 288).history_steps > 0).count()
        });
    });
    group.finish();
}

criterion_group!(benches, ingest, ingest_live, parse, history);
criterion_main!(benches);
