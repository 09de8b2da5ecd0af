//! A large fleet, once: its memory, what a checkpoint costs, what feeds feel of it, what is written in an hour, and how
//! long a start takes.
//!
//! Run with `TFT_SERVERS=10000 cargo bench -p benches --no-default-features --bench fleet`; it needs a gigabyte
//! of memory and of disk for 10,000 servers.
#![allow(clippy::print_stdout, reason = "the result is its output")]

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tft_core::schema::{Schema, SchemaConfig};
use tft_core::store::{RecoveryReport, Store, StoreConfig};
use tft_core::time::{Step, StepLength, Timestamp};
use tft_core::{Record, RollingWindow, WindowConfig};

const METRICS: usize = 14;
const STEPS: i64 = 576;
/// Records of a feed.
const FEED: usize = 1_000;

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

fn at(step: i64, millis: i64) -> Timestamp {
    StepLength::FIVE_MINUTES.start_of(Step(5_890_000 + step)).plus_millis(millis)
}

fn batch(schema: &Schema, servers: std::ops::Range<usize>, at: Timestamp) -> Vec<Record> {
    let record = |server: usize| {
        let mut record = Record::new(schema, &format!("ppdb{server:05}"), at).expect("a valid name");
        for metric in 0..METRICS {
            let seed = (at.as_millis() as u64 + server as u64 * 1_000_003) * METRICS as u64 + metric as u64;
            record.set(metric, 100.0 * noise(seed)).expect("a value in range");
        }
        record
    };
    servers.map(record).collect()
}

fn open(path: &std::path::Path) -> (Store, RecoveryReport) {
    let config = WindowConfig { servers_max: 1_000_000, ..WindowConfig::default() };
    let window = RollingWindow::new(schema(), config).expect("a valid configuration");
    let config = StoreConfig { log_bytes_max: 64 << 30, ..StoreConfig::default() };
    Store::open(path, window, config, at(STEPS, 0)).expect("an opened store")
}

/// Feeds the whole fleet at an instant; returns the longest that a feed took.
fn feed(store: &Store, servers: usize, at: Timestamp) -> Duration {
    let schema = schema();
    let feeds = (0..servers).step_by(FEED).map(|first| first..servers.min(first + FEED));
    let times = feeds.map(|range| {
        let records = batch(&schema, range, at);
        let started = Instant::now();
        let (_, ticket) = store.append(&records, at).expect("an appended feed");
        store.commit(ticket).expect("a kept feed");
        started.elapsed()
    });
    times.max().unwrap_or_default()
}

/// Feeds the whole fleet every five minutes of some hours and saves a checkpoint when `is_due` says so after a
/// number of minutes; prints what was written and how much of a core it took, the making of the
/// records included.
fn feed_for_hours(
    (store, servers): (&Store, usize),
    first_step: i64,
    hours: i64,
    is_due: impl Fn(&Store, u64) -> bool,
) {
    let (mut checkpoints, mut bytes, mut rested, mut busy) = (0, 0, 0, Duration::ZERO);
    let busy_since = |started: Duration| cpu_time().saturating_sub(started);
    for minute in 0..60 * hours {
        let (step, now) = (first_step + minute / 5, at(first_step + minute / 5, 60_000 * (minute % 5)));
        if minute % 5 == 0 {
            let before = store.log_bytes();
            let started = cpu_time();
            feed(store, servers, at(step, 0));
            busy += busy_since(started);
            bytes += store.log_bytes() - before;
        }
        rested += 1;
        if is_due(store, rested) {
            let started = cpu_time();
            let saved = store.checkpoint(now).expect("a saved checkpoint");
            busy += busy_since(started);
            rested = 0;
            checkpoints += u32::from(saved.is_some());
            bytes += saved.map_or(0, |saved| saved.bytes);
        }
    }
    let (mb, share) = (bytes as f64 / 1e6, 100.0 * busy.as_secs_f64() / (3600 * hours) as f64);
    println!(
        "  {hours} hours: {checkpoints} checkpoints, {:.1} MB per hour, {share:.2} % of a core",
        mb / hours as f64
    );
}

/// How long this thread has run; none where the system does not say.
fn cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}

/// Opens a store again and prints how long that takes.
fn reopen(path: &std::path::Path, store: Store, what: &str) -> Store {
    let mb = store.log_bytes() as f64 / 1e6;
    drop(store);
    let (started, cpu) = (Instant::now(), cpu_time());
    let (store, report) = open(path);
    let (took, cpu) = (started.elapsed(), cpu_time().saturating_sub(cpu));
    let (feeds, servers) = (report.frames_replayed, store.window().server_count());
    println!(
        "recovery {what}: {took:?} ({cpu:?} of a core), {servers} servers, {feeds} feeds from {mb:.0} MB"
    );
    store
}

fn main() {
    let servers = std::env::var("TFT_SERVERS").ok().and_then(|count| count.parse().ok()).unwrap_or(200);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("window.parquet");
    let (store, _) = open(&path);
    for step in 0..STEPS {
        feed(&store, servers, at(step, 0));
    }
    println!("{servers} servers, {STEPS} steps, {METRICS} metrics; log {} MB", store.log_bytes() / 1_000_000);

    let memory = store.window().memory_bytes() as f64 / servers as f64;
    let values = (STEPS as usize * METRICS * size_of::<f32>()) as f64;
    println!("memory: {memory:.0} bytes per server, {:.3} of steps x metrics x 4 bytes", memory / values);
    let store = reopen(&path, store, "from the log alone");

    let started = Instant::now();
    drop(store.window().clone());
    println!("clone of the window: {:?}", started.elapsed());

    let (started, cpu) = (Instant::now(), cpu_time());
    let saved = store.checkpoint(at(STEPS, 0)).expect("a saved checkpoint").expect("something to save");
    let (took, cpu, mb) = (started.elapsed(), cpu_time().saturating_sub(cpu), saved.bytes / 1_000_000);
    println!("checkpoint: {took:?} ({cpu:?} of a core), {} rows, {mb} MB", saved.rows);

    let alone = (1..4).map(|minute| feed(&store, servers, at(STEPS - 1, 1_000 * minute))).max();
    println!("feed of {FEED} records, longest: {:?}", alone.unwrap_or_default());
    let is_saved = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let saving = scope.spawn(|| {
            let started = Instant::now();
            store.checkpoint(at(STEPS, 0)).expect("a saved checkpoint");
            is_saved.store(true, Ordering::Release);
            started.elapsed()
        });
        let mut longest = Duration::ZERO;
        for second in 4.. {
            longest = longest.max(feed(&store, servers, at(STEPS - 1, 1_000 * second)));
            if is_saved.load(Ordering::Acquire) || second > 200 {
                break;
            }
        }
        println!("the same beside a checkpoint: {longest:?}");
        println!("checkpoint beside feeds: {:?}", saving.join().expect("no panic"));
    });

    println!("a feed of the fleet every five minutes, a checkpoint every minute if anything is new:");
    feed_for_hours((&store, servers), STEPS, 1, |_, _| true);
    println!("the same, a checkpoint when the store says that it is due:");
    let quarter = Duration::from_mins(15);
    let is_due = |store: &Store, minutes| store.is_checkpoint_due(Duration::from_mins(minutes), quarter);
    feed_for_hours((&store, servers), STEPS + 12, 12, is_due);

    store.checkpoint(at(STEPS + 156, 0)).expect("a saved checkpoint");
    feed(&store, servers, at(STEPS + 156, 0));
    let store = reopen(&path, store, "from a checkpoint and a feed");
    let due = StoreConfig::default().replay_bytes_max;
    for second in (1..).take_while(|&second| second < 250 && store.log_bytes() < due) {
        feed(&store, servers, at(STEPS + 156, 1_000 * second));
    }
    reopen(&path, store, "from a checkpoint and as much log as there may be");
}
