//! What a store does beside keeping feeds: other schemas, limits, damage, removal.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Barrier};
use std::time::Duration;

use tft_core::schema::{Metric, MetricKind, Schema, SchemaConfig};
use tft_core::store::{self, RecoveryReport, Store, StoreConfig, SyncMode};
use tft_core::time::Timestamp;
use tft_core::{Error, ErrorKind, Record, RollingWindow, WindowConfig};

use crate::disk::{Disk, Fault};

fn at(minute: i64) -> Timestamp {
    Timestamp::from_millis(1_767_614_400_000 + 60_000 * minute)
}

fn schema(names: &[&str]) -> Schema {
    let metric = |name: &&str| Metric::new(*name, MetricKind::Continuous);
    Schema::new(SchemaConfig { metrics: names.iter().map(metric).collect(), ..Default::default() }).unwrap()
}

fn open_with(path: &Path, schema: &Schema, config: StoreConfig) -> Result<(Store, RecoveryReport), Error> {
    let window = RollingWindow::new(schema.clone(), WindowConfig::default()).unwrap();
    Store::open(path, window, config, at(0))
}

fn open(path: &Path, schema: &Schema) -> (Store, RecoveryReport) {
    open_with(path, schema, StoreConfig::default()).unwrap()
}

fn feed(store: &Store, server: &str, minute: i64) -> Result<(), Error> {
    let schema = store.window().schema().clone();
    let name = schema.metrics()[0].name.clone();
    let record = Record::new(&schema, server, at(minute))?.with(&name, minute as f64)?;
    let (_, ticket) = store.append(&[record], at(minute))?;
    store.commit(ticket)
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn segments(directory: &Path) -> Vec<PathBuf> {
    files(directory).into_iter().filter(|path| path.to_str().unwrap().contains(".log-")).collect()
}

#[test]
fn a_log_is_replayed_into_another_schema_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("window.parquet");
    let (old, new) = (schema(&["kept", "gone"]), schema(&["added", "kept"]));
    let (store, _) = open(&path, &old);
    let record = Record::new(&old, "web1", at(1)).unwrap().with("kept", 1.5).unwrap();
    let (_, ticket) = store.append(&[record.with("gone", 2.5).unwrap()], at(1)).unwrap();
    store.commit(ticket).unwrap();
    drop(store);
    for opened in 1..=2 {
        let (store, report) = open(&path, &new);
        assert_eq!((report.unknown_metrics, report.values_dropped), (vec!["gone".to_owned()], 1));
        assert_eq!(report.segments, opened);
        let window = store.window();
        let server = window.server("web1").unwrap();
        let step = server.newest_step();
        assert_eq!((server.value(0, step), server.value(1, step)), (None, Some(1.5)));
    }
    let (store, _) = open(&path, &new);
    feed(&store, "web2", 2).unwrap();
    store.checkpoint(at(3)).unwrap().unwrap();
    drop(store);
    let (store, report) = open(&path, &new);
    assert_eq!((store.window().server_count(), report.segments), (2, 1));
    assert_eq!(report.unknown_metrics, [""; 0]);
}

#[test]
fn a_store_is_open_in_one_process_only() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("window.parquet");
    let (store, _) = open(&path, &schema(&["m"]));
    let error = open_with(&path, &schema(&["m"]), StoreConfig::default()).unwrap_err();
    assert!(error.is_unavailable());
    let message = error.to_string().replace(directory.path().to_str().unwrap(), "DIR");
    insta::assert_snapshot!(message, @"store `DIR/window.parquet` is open in another process");
    drop(store);
    open(&path, &schema(&["m"]));
}

#[test]
fn a_full_log_refuses_feeds_until_a_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("window.parquet");
    let config = StoreConfig { log_bytes_max: StoreConfig::LOG_BYTES_MIN, ..StoreConfig::default() };
    let (store, _) = open_with(&path, &schema(&["m"]), config).unwrap();
    let records: Vec<_> = (0..10_000)
        .map(|server| {
            let record = Record::new(store.window().schema(), &format!("server-{server:05}"), at(0));
            record.unwrap().with("m", 1.0).unwrap()
        })
        .collect();
    let refused = (0..10).find_map(|_| store.append(&records, at(0)).err()).unwrap();
    assert!(refused.is_unavailable(), "{refused}");
    assert!(store.log_bytes() > 500_000);
    store.checkpoint(at(0)).unwrap().unwrap();
    assert!(store.log_bytes() < 1_000);
    feed(&store, "server-1", 1).unwrap();
    let small = StoreConfig { log_bytes_max: 1, ..StoreConfig::default() };
    let error = open_with(&directory.path().join("other"), &schema(&["m"]), small).unwrap_err();
    insta::assert_snapshot!(error, @"store.log_bytes_max is 1, allowed are at least 1048576");
}

#[test]
fn a_checkpoint_without_news_is_not_saved() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("window.parquet");
    let (store, _) = open(&path, &schema(&["m"]));
    assert_eq!(store.checkpoint(at(0)).unwrap(), None);
    feed(&store, "web1", 1).unwrap();
    assert_eq!(store.checkpoint(at(1)).unwrap().unwrap().log_sequence, 1);
    assert_eq!(store.checkpoint(at(2)).unwrap(), None);
    drop(store);
    let (store, report) = open(&path, &schema(&["m"]));
    assert_eq!((report.frames_replayed, report.checkpoint.unwrap().log_sequence), (0, Some(1)));
    assert_eq!(store.checkpoint(at(2)).unwrap(), None);
}

#[test]
fn what_an_older_segment_lacks_is_told_and_the_rest_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("window.parquet");
    let schema = schema(&["m"]);
    let (store, _) = open(&path, &schema);
    for minute in 1..=3 {
        feed(&store, &format!("web{minute}"), minute).unwrap();
    }
    let first = segments(directory.path()).remove(0);
    let bytes = std::fs::read(&first).unwrap();
    store.checkpoint(at(3)).unwrap().unwrap();
    feed(&store, "web4", 4).unwrap();
    drop(store);
    // As if the checkpoint had never been saved, and the last frame of the first segment were damaged.
    std::fs::remove_file(&path).unwrap();
    let mut damaged = bytes.clone();
    *damaged.last_mut().unwrap() ^= 1;
    std::fs::write(&first, damaged).unwrap();
    let (store, report) = open(&path, &schema);
    let text = report.damage.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let text = text.replace(directory.path().to_str().unwrap(), "DIR");
    insta::assert_snapshot!(text, @"log `DIR/window.parquet.log-00000000000000000001` at byte 217 (46 bytes): a frame does not match its checksum, feeds 3 to 3 are lost");
    assert_eq!(store.window().server_count(), 3);
    store.checkpoint(at(5)).unwrap().unwrap();
    let names = files(directory.path()).into_iter().map(|path| path.file_name().unwrap().to_owned());
    let aside = names.filter(|name| name.to_str().unwrap().contains(".corrupt-")).count();
    assert_eq!(aside, 1);
    drop(store);
    let (store, report) = open(&path, &schema);
    assert_eq!((store.window().server_count(), report.damage), (3, vec![]));
}

#[test]
fn damage_within_the_newest_segment_is_told_and_its_bytes_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("window.parquet");
    let schema = schema(&["m"]);
    let (store, _) = open(&path, &schema);
    for minute in 1..=5 {
        feed(&store, &format!("web{minute}"), minute).unwrap();
    }
    drop(store);
    let segment = segments(directory.path()).remove(0);
    let mut bytes = std::fs::read(&segment).unwrap();
    for server in ["web2", "web4"] {
        let at = bytes.windows(4).position(|name| name == server.as_bytes()).unwrap();
        bytes[at] ^= 1;
    }
    std::fs::write(&segment, &bytes).unwrap();
    for opened in 1..=2 {
        let (store, report) = open(&path, &schema);
        let told = report.loss().unwrap().replace(directory.path().to_str().unwrap(), "DIR");
        insta::allow_duplicates! {
            insta::assert_snapshot!(told, @"2 feeds are lost: log `DIR/window.parquet.log-00000000000000000001` at byte 171 (46 bytes): a frame does not match its checksum, feeds 2 to 2 are lost; log `DIR/window.parquet.log-00000000000000000001` at byte 263 (46 bytes): a frame does not match its checksum, feeds 4 to 4 are lost");
        }
        assert_eq!((report.feeds_lost, report.bytes_skipped, report.segments), (2, 92, opened));
        assert_eq!((store.window().server_count(), std::fs::read(&segment).unwrap() == bytes), (3, true));
        assert_eq!(report.set_aside, []);
    }
    let (store, _) = open(&path, &schema);
    feed(&store, "web6", 6).unwrap();
    store.checkpoint(at(6)).unwrap().unwrap();
    assert!(!segment.exists());
    let aside = store.remove_server("web1", at(7)).unwrap().set_aside;
    assert_eq!((aside.len(), std::fs::read(&aside[0]).unwrap() == bytes), (1, true));
    drop(store);
    let (store, report) = open(&path, &schema);
    assert_eq!((store.window().server_count(), report.loss()), (3, None));
}

#[test]
fn a_corrupt_checkpoint_is_moved_aside_and_its_log_still_replayed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("window.parquet");
    let schema = schema(&["m"]);
    let (store, _) = open(&path, &schema);
    feed(&store, "web1", 1).unwrap();
    store.checkpoint(at(1)).unwrap().unwrap();
    feed(&store, "web2", 2).unwrap();
    drop(store);
    std::fs::write(&path, "garbage").unwrap();
    let (store, report) = open(&path, &schema);
    assert_eq!((report.set_aside.len(), report.frames_replayed, report.damage.len()), (1, 1, 0));
    assert!(report.set_aside[0].path.exists());
    assert_eq!(store.window().server_count(), 1);
}

#[test]
fn a_log_of_a_newer_version_is_refused_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("window.parquet");
    let schema = schema(&["m"]);
    drop(open(&path, &schema));
    let segment = segments(directory.path()).remove(0);
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[8] = 2;
    let end = bytes.len() - 4;
    let checksum = crc32c::crc32c(&bytes[..end]).to_le_bytes();
    bytes[end..].copy_from_slice(&checksum);
    std::fs::write(&segment, &bytes).unwrap();
    let error = open_with(&path, &schema, StoreConfig::default()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    assert!(error.to_string().ends_with("has format version 2, readable is 1"), "{error}");
    assert_eq!(std::fs::read(&segment).unwrap(), bytes);
}

#[test]
fn a_removed_server_leaves_no_byte_behind() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("window.parquet");
    let schema = Schema::server_metrics();
    let (store, _) = open(&path, &schema);
    let value = 12.345_679_f32;
    let feed = |server: &str, minute, value: f32| {
        let record = Record::new(&schema, server, at(minute)).unwrap();
        let record = record.with("cpu_user", f64::from(value)).unwrap();
        let (_, ticket) = store.append(&[record], at(minute)).unwrap();
        store.commit(ticket).unwrap();
    };
    feed("secret-host", 1, value);
    store.checkpoint(at(1)).unwrap().unwrap();
    feed("secret-host", 2, value);
    feed("other-host", 2, 50.0);
    std::fs::write(directory.path().join("window.parquet.corrupt-20260101T000000Z"), "").unwrap();

    let export = store.export_server("secret-host").unwrap();
    assert_eq!((export.samples.len(), export.samples[1].values[0]), (2, Some(value)));
    assert_eq!(export.samples_accepted, 2);
    assert_eq!(store.export_server("unknown"), None);

    let has = |needle: &[u8]| {
        let contents = files(directory.path()).into_iter().map(|path| std::fs::read(path).unwrap());
        contents.filter(|content| content.windows(needle.len()).any(|window| window == needle)).count()
    };
    assert!(has(b"secret-host") >= 2 && has(&value.to_le_bytes()) >= 2);
    let removal = store.remove_server("secret-host", at(3)).unwrap();
    assert!(removal.was_known);
    assert_eq!(removal.set_aside.len(), 1);
    assert_eq!((has(b"secret-host"), has(b"secret"), has(&value.to_le_bytes())), (0, 0, 0));
    assert!(has(b"other-host") >= 1);
    assert!(!store.remove_server("secret-host", at(3)).unwrap().was_known);
    drop(store);
    let (store, _) = open(&path, &schema);
    assert!(store.window().server("secret-host").is_none() && store.window().server("other-host").is_some());
}

/// How many files have a text that no digit follows.
fn files_with(directory: &Path, text: &str) -> usize {
    let has = |content: &[u8]| {
        let ends = content.windows(text.len() + 1).filter(|window| window.starts_with(text.as_bytes()));
        let mut is_whole = ends.map(|window| !window[text.len()].is_ascii_digit());
        is_whole.any(|is_whole| is_whole) || content.ends_with(text.as_bytes())
    };
    files(directory).into_iter().filter(|path| has(&std::fs::read(path).unwrap())).count()
}

#[test]
fn what_was_set_aside_is_discarded_on_demand_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("window.parquet");
    let schema = schema(&["m"]);
    let (store, _) = open(&path, &schema);
    for minute in 1..=4 {
        feed(&store, "db1", minute).unwrap();
        feed(&store, "db10", minute).unwrap();
    }
    drop(store);
    // A damaged segment, a corrupt checkpoint and pickles, all of which name the server.
    let segment = segments(directory.path()).remove(0);
    let mut bytes = std::fs::read(&segment).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&segment, &bytes).unwrap();
    for name in ["window.parquet", "window.pkl.migrated", "window.pkl.backup-1"] {
        std::fs::write(directory.path().join(name), "of db1 and db10\n").unwrap();
    }
    let others = ["window.pkl", "window.parquet.corrupt-me", "window.parquet2.corrupt-20260105T120000Z"];
    for name in others {
        std::fs::write(directory.path().join(name), "of db1\n").unwrap();
    }
    let (store, report) = open(&path, &schema);
    assert_eq!((report.feeds_lost, report.set_aside.len()), (1, 1));
    std::fs::write(directory.path().join(".window.parquet.tmp-0"), "what a failure left of db1\n").unwrap();
    let removal = store.remove_server("db1", at(5)).unwrap();
    assert!(removal.was_known);
    assert_eq!(removal.set_aside.len(), 4);
    assert_eq!(files_with(directory.path(), "db1"), removal.set_aside.len() + others.len());
    assert_eq!(store.discard_set_aside().unwrap(), removal.set_aside);
    assert_eq!(files_with(directory.path(), "db1"), others.len());
    assert!(others.iter().all(|name| directory.path().join(name).exists()));
    assert_eq!(store.discard_set_aside().unwrap(), [""; 0].map(PathBuf::from));
    assert_eq!(store.remove_server("db1", at(6)).unwrap().set_aside, [""; 0].map(PathBuf::from));
    drop(store);
    let (store, _) = open(&path, &schema);
    assert!(store.window().server("db1").is_none());
    assert!(store.window().server("db10").unwrap().samples_accepted() >= 3);
}

#[test]
fn what_expires_leaves_no_byte_behind_at_the_next_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("window.parquet");
    let schema = schema(&["m"]);
    let config = WindowConfig { retention_ms: Some(3_600_000), ..WindowConfig::default() };
    let window = RollingWindow::new(schema.clone(), config).unwrap();
    let (store, _) = Store::open(&path, window, StoreConfig::default(), at(0)).unwrap();
    feed(&store, "old1", 1).unwrap();
    store.checkpoint(at(1)).unwrap().unwrap();
    feed(&store, "old1", 2).unwrap();
    feed(&store, "new1", 50).unwrap();
    store.checkpoint(at(64)).unwrap().unwrap();
    assert_eq!((files_with(directory.path(), "old1"), store.window().server_count()), (1, 2));
    // No feed came since, and still there is something to save.
    store.checkpoint(at(65)).unwrap().unwrap();
    assert_eq!((files_with(directory.path(), "old1"), store.window().server_count()), (0, 1));
    assert!(files_with(directory.path(), "new1") > 0);
    assert_eq!(store.checkpoint(at(66)).unwrap(), None);
    let window = RollingWindow::new(schema.clone(), store.window().config().clone()).unwrap();
    let store = Store::in_memory(window);
    feed(&store, "old1", 1).unwrap();
    store.checkpoint(at(65)).unwrap();
    assert_eq!(store.window().server_count(), 0);
}

#[test]
fn a_checkpoint_is_due_when_it_is_worth_its_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("window.parquet");
    let config = StoreConfig { checkpoint_log_bytes_min: 10_000, ..StoreConfig::default() };
    let (store, _) = open_with(&path, &schema(&["m"]), config.clone()).unwrap();
    let minutes = Duration::from_mins;
    let is_due = |store: &Store, rested| store.is_checkpoint_due(minutes(rested), minutes(15));
    feed(&store, "web1", 0).unwrap();
    assert!(!is_due(&store, 14) && is_due(&store, 15));
    for minute in 1..300 {
        assert_eq!(is_due(&store, 0), store.log_bytes() >= 10_000);
        feed(&store, "web1", minute).unwrap();
    }
    assert!(is_due(&store, 0));
    let saved = store.checkpoint(at(300)).unwrap().unwrap();
    assert!(!is_due(&store, 0) && saved.bytes < 20_000);
    drop(store);
    let (store, report) = open_with(&path, &schema(&["m"]), config).unwrap();
    assert_eq!((report.checkpoint_bytes, is_due(&store, 0)), (saved.bytes, false));
}

#[test]
fn feeds_that_wait_together_share_a_sync() {
    const THREADS: usize = 8;
    const FEEDS: i64 = 50;
    let disk = Disk::default();
    let schema = schema(&["m"]);
    let config = StoreConfig { sync: SyncMode::Always, ..StoreConfig::default() };
    let open = || {
        let window = RollingWindow::new(schema.clone(), WindowConfig::default()).unwrap();
        Store::open_on(Arc::new(disk.clone()), Path::new("window.parquet"), window, config.clone(), at(0))
    };
    let (store, _) = open().unwrap();
    let start = Barrier::new(THREADS + 1);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, start) = (&store, &start);
            scope.spawn(move || {
                start.wait();
                for minute in 0..FEEDS {
                    feed(store, &format!("web{thread}"), minute).unwrap();
                }
            });
        }
        start.wait();
        for minute in 0..5 {
            store.checkpoint(at(minute)).unwrap();
        }
    });
    let ticks = THREADS as u64 * FEEDS as u64;
    assert_eq!(store.window().tick_count(), ticks);
    for image in disk.images_now() {
        let window = RollingWindow::new(schema.clone(), WindowConfig::default()).unwrap();
        let disk = Arc::new(Disk::with(&image));
        let (found, report) =
            Store::open_on(disk, Path::new("window.parquet"), window, config.clone(), at(0)).unwrap();
        assert_eq!((found.window().tick_count(), report.damage), (ticks, vec![]));
    }
}

#[test]
fn a_failed_sync_refuses_feeds_until_a_checkpoint_is_durable() {
    let disk = Disk::default();
    let schema = schema(&["m"]);
    let config = StoreConfig { sync: SyncMode::Always, ..StoreConfig::default() };
    let window = RollingWindow::new(schema.clone(), WindowConfig::default()).unwrap();
    let (store, _) =
        Store::open_on(Arc::new(disk.clone()), Path::new("window.parquet"), window, config, at(0)).unwrap();
    feed(&store, "web1", 1).unwrap();
    // The append is the first operation, the sync the second.
    disk.fail(Some(Fault { at: 1, lasts: false, kind: std::io::ErrorKind::Other }));
    let error = feed(&store, "web2", 2).unwrap_err();
    insta::assert_snapshot!(error, @"feed could not be made durable: other error");
    assert!(error.is_io() && store.needs_checkpoint());
    let error = feed(&store, "web3", 3).unwrap_err();
    insta::assert_snapshot!(error, @"log is not written to after a failure (other error) until a checkpoint is saved");
    assert!(error.is_unavailable());
    assert!(store.window().server("web3").is_none());
    store.checkpoint(at(3)).unwrap().unwrap();
    feed(&store, "web3", 3).unwrap();
    assert!(!store.needs_checkpoint());
}

#[test]
fn a_store_in_memory_keeps_the_window_and_nothing_else() {
    let window = RollingWindow::new(schema(&["m"]), WindowConfig::default()).unwrap();
    let store = Store::in_memory(window);
    feed(&store, "web1", 1).unwrap();
    store.sync().unwrap();
    assert_eq!((store.checkpoint(at(1)).unwrap(), store.log_bytes()), (None, 0));
    assert!(store.remove_server("web1", at(1)).unwrap().was_known);
    assert_eq!(store.window().server_count(), 0);
}

/// The files that version 1 of the log wrote stay readable.
#[test]
fn the_first_version_of_the_log_opens() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-v1");
    let directory = tempfile::tempdir().unwrap();
    for file in files(&fixture) {
        std::fs::copy(&file, directory.path().join(file.file_name().unwrap())).unwrap();
    }
    let path = directory.path().join("window.parquet");
    let (store, report) = open(&path, &schema(&["m", "n"]));
    assert_eq!((report.frames_replayed, report.bytes_dropped, report.segments), (3, 5, 1));
    assert_eq!(report.checkpoint.unwrap().log_sequence, Some(2));
    let export = |server: &str| serde_json::to_string(&store.export_server(server)).unwrap();
    insta::assert_snapshot!(export("web1"), @r#"{"server_name":"web1","profile":"generic","samples_accepted":2,"metrics":["m","n"],"samples":[{"timestamp":1767614460000,"status":null,"values":[1.5,null]},{"timestamp":1767614580000,"status":null,"values":[-2.5,1000000000.0]}]}"#);
    insta::assert_snapshot!(export("db2"), @r#"{"server_name":"db2","profile":"generic","samples_accepted":3,"metrics":["m","n"],"samples":[{"timestamp":1767614400000,"status":"heavy_load","values":[null,0.1]},{"timestamp":1767615060000,"status":null,"values":[3.0,null]}]}"#);
    assert_eq!(store.window().tick_count(), 5);
}

/// Writes the fixture; it is never written again for the same version.
#[test]
#[ignore = "writes the fixture"]
fn write_the_fixture() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/store-v1");
    std::fs::create_dir(&fixture).unwrap();
    let path = fixture.join("window.parquet");
    let schema = schema(&["m", "n"]);
    let (store, _) = open(&path, &schema);
    let record = |server: &str, minute| Record::new(&schema, server, at(minute)).unwrap();
    let batches = [
        vec![record("web1", 1).with("m", 1.5).unwrap()],
        vec![record("db2", 2).with_status("OK").unwrap()],
        vec![record("web1", 3).with("m", -2.5).unwrap().with("n", 1e9).unwrap()],
        vec![record("db2", 4).with("n", 0.1).unwrap().with_status("WARN").unwrap(), record("web1", 9)],
        vec![record("db2", 11).with("m", 3.0).unwrap()],
    ];
    for (index, batch) in batches.into_iter().enumerate() {
        let now = batch[0].timestamp();
        let (_, ticket) = store.append(&batch, now).unwrap();
        store.commit(ticket).unwrap();
        if index == 1 {
            store.checkpoint(now).unwrap().unwrap();
        }
    }
    drop(store);
    std::fs::remove_file(fixture.join(".window.parquet.lock")).unwrap();
    // A feed that was being written when the process ended.
    let segment = segments(&fixture).remove(0);
    let bytes = std::fs::read(&segment).unwrap();
    std::fs::write(&segment, [&bytes[..], b"\x40\0\0\0\x17"].concat()).unwrap();
    assert!(store::load(&path, schema, WindowConfig::default()).is_ok());
}
