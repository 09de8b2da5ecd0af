//! The log: from a parsed feed to its acknowledgement, in each mode.
//!
//! Run with `cargo bench -p benches --no-default-features --bench store`. Mode `always` measures the disk under
//! the directory for temporary files.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tft_core::schema::Schema;
use tft_core::store::{Store, StoreConfig, SyncMode};
use tft_core::time::Timestamp;
use tft_core::{Record, RollingWindow, WindowConfig};

const MODES: [SyncMode; 3] = [SyncMode::Never, SyncMode::Interval, SyncMode::Always];
const THREADS: usize = 8;

fn at(millis: u64) -> Timestamp {
    Timestamp::from_millis(1_767_614_400_000 + millis as i64)
}

/// One sample of every server with a value for each metric.
fn batch(schema: &Schema, servers: usize, at: Timestamp) -> Vec<Record> {
    let record = |server: usize| {
        let mut record = Record::new(schema, &format!("server-{server:04}"), at).expect("a valid name");
        for metric in 0..schema.metrics().len() {
            record.set(metric, ((server * 31 + metric * 7) % 100) as f64 / 100.0).expect("a value in range");
        }
        record
    };
    (0..servers).map(record).collect()
}

fn store(directory: &tempfile::TempDir, sync: SyncMode) -> Store {
    let window = RollingWindow::new(Schema::server_metrics(), WindowConfig::default());
    let window = window.expect("a valid configuration");
    let config = StoreConfig { sync, log_bytes_max: 64 << 30, ..StoreConfig::default() };
    let path = directory.path().join("window.parquet");
    Store::open(&path, window, config, at(0)).expect("an opened store").0
}

/// The same records again and again, which the window replaces: what is left is the log.
fn acknowledge(criterion: &mut Criterion) {
    let schema = Schema::server_metrics();
    for servers in [1, 1_000] {
        let records = batch(&schema, servers, at(0));
        let mut group = criterion.benchmark_group(format!("acknowledge {servers} records"));
        group.throughput(Throughput::Elements(servers as u64));
        for sync in MODES {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let store = store(&directory, sync);
            group.bench_function(sync.as_str(), |bencher| {
                bencher.iter(|| {
                    let (report, ticket) =
                        store.append(black_box(&records), at(0)).expect("an appended feed");
                    store.commit(ticket).expect("a kept feed");
                    report
                });
            });
        }
        let mut window =
            RollingWindow::new(schema.clone(), WindowConfig::default()).expect("a valid configuration");
        group.bench_function("without a store", |bencher| {
            bencher.iter(|| window.ingest(black_box(&records), at(0)).expect("a taken batch"));
        });
        group.finish();
    }
}

/// Feeds of one record from several threads, which share syncs.
fn acknowledge_together(criterion: &mut Criterion) {
    let schema = Schema::server_metrics();
    let mut group = criterion.benchmark_group("acknowledge together");
    group.throughput(Throughput::Elements(1));
    let directory = tempfile::tempdir().expect("a temporary directory");
    let store = store(&directory, SyncMode::Always);
    let records = batch(&schema, 1, at(0));
    group.bench_function(format!("{THREADS} threads, always"), |bencher| {
        bencher.iter_custom(|feeds| {
            let left = AtomicU64::new(feeds);
            let started = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..THREADS {
                    scope.spawn(|| {
                        let take = |left: u64| left.checked_sub(1);
                        while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
                            let (_, ticket) = store.append(&records, at(0)).expect("an appended feed");
                            store.commit(ticket).expect("a kept feed");
                        }
                    });
                }
            });
            started.elapsed()
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
    targets = acknowledge, acknowledge_together
}
criterion_main!(benches);
