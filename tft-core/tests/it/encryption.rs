//! A store with a key: nothing can be read or changed without it, and nothing is lost with it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{ArrayRef, Float64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::encryption::encrypt::FileEncryptionProperties;
use parquet::file::properties::WriterProperties;
use tft_core::schema::{Metric, MetricKind, Schema, SchemaConfig};
use tft_core::store::{self, EncryptionKey, RecoveryReport, Store, StoreConfig, SyncMode};
use tft_core::time::Timestamp;
use tft_core::{Error, ErrorKind, Record, RollingWindow, WindowConfig};

use crate::disk::{Disk, Image};

const VALUE: f32 = 12.345_679;
/// What stands in plain files beside the value.
const NEEDLES: [&str; 6] = ["secret", "heavy_load", "generic", "server_name", "tick_count", "log_sequence"];

fn at(minute: i64) -> Timestamp {
    Timestamp::from_millis(1_767_614_400_000 + 60_000 * minute)
}

fn schema() -> Schema {
    let metrics = vec![Metric::new("secret_metric", MetricKind::Continuous)];
    Schema::new(SchemaConfig { metrics, ..Default::default() }).unwrap()
}

fn path() -> &'static Path {
    Path::new("window.parquet")
}

fn plain() -> StoreConfig {
    StoreConfig { sync: SyncMode::Always, ..StoreConfig::default() }
}

fn key(byte: u8) -> EncryptionKey {
    EncryptionKey::new([byte; 32])
}

fn sealed(byte: u8) -> StoreConfig {
    StoreConfig { key: Some(key(byte)), ..plain() }
}

fn open(disk: &Disk, config: StoreConfig) -> Result<(Store, RecoveryReport), Error> {
    let window = RollingWindow::new(schema(), WindowConfig::default()).unwrap();
    Store::open_on(Arc::new(disk.clone()), path(), window, config, at(9))
}

fn feed(store: &Store, server: &str, minute: i64) {
    let record = Record::new(&schema(), server, at(minute)).unwrap().with_status("WARN").unwrap();
    let record = record.with("secret_metric", f64::from(VALUE)).unwrap();
    let (_, ticket) = store.append(&[record], at(minute)).unwrap();
    store.commit(ticket).unwrap();
}

/// A checkpoint with one server, and a segment with feeds of two others.
fn filled(config: StoreConfig) -> Disk {
    let disk = Disk::default();
    let (store, _) = open(&disk, config).unwrap();
    feed(&store, "secret-web", 1);
    store.checkpoint(at(1)).unwrap().unwrap();
    feed(&store, "secret-db1", 2);
    feed(&store, "secret-db2", 3);
    drop(store);
    disk
}

fn encoded(store: &Store) -> Vec<u8> {
    store::encode(&store.window(), at(0)).unwrap()
}

fn content_of(disk: &Disk, config: StoreConfig) -> Vec<u8> {
    encoded(&open(&Disk::with(&disk.image()), config).unwrap().0)
}

fn segments(image: &Image) -> Vec<PathBuf> {
    image.keys().filter(|path| path.to_str().unwrap().contains(".log-")).cloned().collect()
}

/// What of the window, the schema and the footer's keys can be read in the files.
fn readable(image: &Image) -> Vec<&'static str> {
    let value = VALUE.to_le_bytes();
    let has = |needle: &[u8]| {
        image.values().any(|content| content.windows(needle.len()).any(|bytes| bytes == needle))
    };
    let found = NEEDLES.into_iter().filter(|needle| has(needle.as_bytes()));
    found.chain(has(&value).then_some("a value")).collect()
}

#[test]
fn no_file_shows_a_name_or_a_value_whatever_happens() {
    let disk = filled(sealed(1));
    disk.crash_images(|_, image| assert_eq!(readable(image), [""; 0]));
    let plain_disk = filled(plain());
    assert_eq!(readable(&plain_disk.image()).len(), NEEDLES.len() + 1);
    // Damaged files are moved aside as they are.
    let mut image = disk.image();
    for content in image.values_mut() {
        let middle = content.len() / 2;
        content[middle] ^= 1;
    }
    let damaged = Disk::with(&image);
    let (store, report) = open(&damaged, sealed(1)).unwrap();
    assert_eq!(report.set_aside.len(), 1);
    feed(&store, "secret-web", 4);
    assert!(store.export_server("secret-web").is_some());
    store.checkpoint(at(4)).unwrap().unwrap();
    assert_eq!(readable(&damaged.image()), [""; 0]);
    assert!(store.remove_server("secret-web", at(5)).unwrap().was_known);
    drop(store);
    assert!(open(&damaged, sealed(1)).unwrap().0.window().server("secret-web").is_none());
    assert_eq!(readable(&damaged.image()), [""; 0]);
}

#[test]
fn without_the_key_nothing_opens_and_nothing_is_touched() {
    let whole = filled(sealed(1)).image();
    let only = |kept: &dyn Fn(&Path) -> bool| -> Image {
        let files = whole.iter().filter(|(path, _)| kept(path));
        files.map(|(path, content)| (path.clone(), content.clone())).collect()
    };
    let mut left_over = whole.clone();
    left_over.insert(".window.parquet.tmp-0".into(), b"half".to_vec());
    let images = [left_over, only(&|file| file == path()), only(&|file| file != path())];
    let mut messages = Vec::new();
    for image in images {
        let wrong = StoreConfig { previous_keys: vec![key(3)], ..sealed(2) };
        for config in [plain(), sealed(2), wrong] {
            let disk = Disk::with(&image);
            let error = open(&disk, config).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Encrypted, "{error}");
            assert_eq!(disk.image(), image);
            messages.push(error.to_string());
        }
    }
    messages.sort();
    messages.dedup();
    insta::assert_snapshot!(messages.join("\n"), @r"
    checkpoint `window.parquet`: is encrypted with another key than those given
    checkpoint `window.parquet`: is encrypted, and no key was given
    log `window.parquet.log-00000000000000000002`: is encrypted with another key than those given
    log `window.parquet.log-00000000000000000002`: is encrypted, and no key was given
    ");
    let error = store::decode(whole[path()].clone(), schema(), WindowConfig::default()).unwrap_err();
    insta::assert_snapshot!(format!("{:?}: {error}", error.kind()), @"Encrypted: checkpoint: is encrypted, and no key was given");
}

#[test]
fn what_is_not_as_configured_is_rewritten_at_once() {
    let disk = filled(plain());
    let content = content_of(&disk, plain());
    let rotated = StoreConfig { previous_keys: vec![key(1)], ..sealed(2) };
    let opened = StoreConfig { previous_keys: vec![key(2)], ..plain() };
    let mut frames = 2;
    for (config, needles) in [(sealed(1), 0), (rotated, 0), (opened, NEEDLES.len() + 1)] {
        let (store, report) = open(&disk, config.clone()).unwrap();
        assert_eq!((report.frames_replayed, report.damage, report.set_aside), (frames, vec![], vec![]));
        assert_eq!(report.rewritten.unwrap().segments_left, 0);
        assert!(encoded(&store) == content && readable(&disk.image()).len() == needles);
        drop(store);
        let (store, report) = open(&disk, StoreConfig { previous_keys: vec![], ..config }).unwrap();
        assert_eq!((report.frames_replayed, report.rewritten), (0, None));
        assert!(encoded(&store) == content);
        frames = 0;
    }
    // A log alone, whose segment has no feed yet.
    let disk = Disk::default();
    drop(open(&disk, plain()).unwrap());
    let (store, report) = open(&disk, sealed(1)).unwrap();
    assert!(report.rewritten.is_some());
    feed(&store, "secret-web", 1);
    assert_eq!(readable(&disk.image()), [""; 0]);
}

#[test]
fn whichever_byte_of_a_checkpoint_changes_it_is_whole_or_moved_aside() {
    let disk = filled(sealed(1));
    let content = content_of(&disk, sealed(1));
    let image = disk.image();
    let checkpoint = &image[path()];
    let (mut whole, mut refused) = (Vec::new(), Vec::new());
    let mut check = |bytes: Vec<u8>, place: usize| {
        let mut image = image.clone();
        image.insert(path().to_owned(), bytes.clone());
        let disk = Disk::with(&image);
        let Ok((store, report)) = open(&disk, sealed(1)).inspect_err(|error| assert!(error.is_encrypted()))
        else {
            assert_eq!(disk.image(), image);
            return refused.push(place);
        };
        match &report.set_aside[..] {
            [] => {
                assert!(encoded(&store) == content, "byte {place}");
                whole.push(place);
            }
            [aside] => assert!(disk.image()[&aside.path] == bytes && report.frames_replayed == 2),
            more => panic!("{more:?}"),
        }
    };
    for place in 0..checkpoint.len() {
        let mut changed = checkpoint.clone();
        changed[place] ^= 1 << (place % 8);
        check(changed, place);
    }
    for length in 1..checkpoint.len() {
        check(checkpoint[..length].to_vec(), length);
    }
    // What stands before the footer in clear text says which key it is; where that cannot be read, the key that was
    // given may be the wrong one.
    assert!(whole.len() >= 8 + 16 + 4 && whole[whole.len() - 1] - whole[0] < 64, "{whole:?}");
    assert!(refused.len() < 8 && refused.iter().all(|&place| place + 32 > whole[0]), "{refused:?}");
}

/// The frames of a segment, head included, and where they start.
fn frames(segment: &[u8]) -> (usize, Vec<Vec<u8>>) {
    let number = |at: usize| u32::from_le_bytes(segment[at..at + 4].try_into().unwrap()) as usize;
    let start = 24 + number(12) + 4;
    let (mut at, mut frames) = (start, Vec::new());
    while at < segment.len() {
        let length = 16 + number(at);
        frames.push(segment[at..at + length].to_vec());
        at += length;
    }
    (start, frames)
}

fn with_checksum(mut frame: Vec<u8>) -> Vec<u8> {
    let checksum = crc32c::crc32c_append(crc32c::crc32c(&frame[0..4]), &frame[8..]);
    frame[4..8].copy_from_slice(&checksum.to_le_bytes());
    frame
}

#[test]
fn a_frame_counts_in_its_place_of_its_segment_only() {
    let image = filled(sealed(1)).image();
    let name = segments(&image).remove(0);
    let (start, own) = frames(&image[&name]);
    let others = filled(sealed(1)).image();
    let (_, foreign) = frames(&others[&name]);
    assert_eq!((own.len(), foreign[0].len()), (2, own[0].len()));
    let renumbered = |frame: &[u8], sequence: u64| {
        let mut frame = frame.to_vec();
        frame[8..16].copy_from_slice(&sequence.to_le_bytes());
        with_checksum(frame)
    };
    let sequence = u64::from_le_bytes(own[0][8..16].try_into().unwrap());
    let replayed = |log: &[&[u8]]| {
        let mut image = image.clone();
        let segment = image.get_mut(&name).unwrap();
        segment.truncate(start);
        for frame in log {
            segment.extend_from_slice(frame);
        }
        open(&Disk::with(&image), sealed(1)).unwrap().1.frames_replayed
    };
    assert_eq!(replayed(&[&own[0], &own[1]]), 2);
    assert_eq!(replayed(&[&foreign[0], &own[1]]), 1);
    assert_eq!(replayed(&[&own[0], &foreign[1]]), 1);
    assert_eq!(replayed(&[&renumbered(&own[1], sequence), &renumbered(&own[0], sequence + 1)]), 0);
    assert_eq!(replayed(&[&own[0], &renumbered(&own[0], sequence + 1)]), 1);
    for place in 16..own[1].len() {
        let mut changed = own[1].clone();
        changed[place] ^= 1 << (place % 8);
        assert_eq!(replayed(&[&own[0], &with_checksum(changed)]), 1, "byte {place}");
    }
}

#[test]
fn a_frame_that_somebody_changed_is_damage_as_any_other() {
    let disk = Disk::default();
    let (store, _) = open(&disk, sealed(1)).unwrap();
    for minute in 1..=4 {
        feed(&store, &format!("secret-{minute}"), minute);
    }
    drop(store);
    let mut image = disk.image();
    let name = segments(&image).remove(0);
    let (start, mut own) = frames(&image[&name]);
    for changed in [1, 3] {
        own[changed][20] ^= 1;
        own[changed] = with_checksum(own[changed].clone());
    }
    let changed = [&image[&name][..start], &own.concat()].concat();
    image.insert(name.clone(), changed.clone());
    let disk = Disk::with(&image);
    for dropped in [own[3].len(), 0] {
        let (store, report) = open(&disk, sealed(1)).unwrap();
        insta::allow_duplicates! {
            insta::assert_snapshot!(report.loss().unwrap(), @"2 feeds are lost: log `window.parquet.log-00000000000000000001` at byte 292 (79 bytes): a frame was changed: it does not match its seal, feeds 2 to 2 are lost; log `window.parquet.log-00000000000000000001` at byte 450 (79 bytes): a frame was changed: it does not match its seal, feeds 4 to 4 are lost");
        }
        assert_eq!((report.frames_replayed, report.set_aside, report.rewritten), (2, vec![], None));
        assert_eq!((report.bytes_skipped, report.bytes_dropped), (own[1].len() as u64, dropped as u64));
        assert_eq!((store.window().server_count(), disk.image()[&name] == changed), (2, true));
    }
    let (store, _) = open(&disk, sealed(1)).unwrap();
    feed(&store, "secret-5", 5);
    store.checkpoint(at(5)).unwrap().unwrap();
    let aside = store.remove_server("secret-1", at(6)).unwrap().set_aside;
    assert_eq!((aside.len(), disk.image()[&aside[0]] == changed), (1, true));
    drop(store);
    let (store, report) = open(&disk, sealed(1)).unwrap();
    assert_eq!((store.window().server_count(), report.loss()), (2, None));
}

#[test]
fn a_damaged_header_is_mended_with_its_own_key_only() {
    let disk = Disk::default();
    let (store, _) = open(&disk, sealed(1)).unwrap();
    feed(&store, "secret-web", 1);
    drop(store);
    let mut image = disk.image();
    image.remove(path());
    let name = segments(&image).remove(0);
    image.get_mut(&name).unwrap()[80] ^= 1;
    let rotated = StoreConfig { previous_keys: vec![key(1)], ..sealed(2) };
    for (config, is_current) in [(sealed(1), true), (rotated, false)] {
        let disk = Disk::with(&image);
        let (store, report) = open(&disk, config).unwrap();
        assert_eq!((report.headers_mended, report.frames_replayed, report.loss()), (1, 1, None));
        assert_eq!(report.rewritten.is_none(), is_current);
        assert!(store.window().server("secret-web").is_some());
    }
    for config in [sealed(2), plain()] {
        let disk = Disk::with(&image);
        let (_, report) = open(&disk, config).unwrap();
        assert_eq!((report.headers_mended, report.frames_replayed, report.set_aside.len()), (0, 0, 1));
        assert!(disk.image()[&report.set_aside[0].path] == image[&name]);
    }
}

#[test]
fn a_checkpoint_of_many_rows_comes_back() {
    let disk = Disk::default();
    let (store, _) = open(&disk, sealed(1)).unwrap();
    for minute in 0..200 {
        let record = |server: &str| Record::new(&schema(), server, at(minute)).unwrap().with_status("OK");
        let mut records = ["secret-web", "secret-db1"].map(|server| record(server).unwrap());
        if minute % 7 != 0 {
            records[0].set(0, f64::from(VALUE)).unwrap();
        }
        let (_, ticket) = store.append(&records, at(minute)).unwrap();
        store.commit(ticket).unwrap();
    }
    store.checkpoint(at(200)).unwrap().unwrap();
    let content = encoded(&store);
    drop(store);
    assert_eq!(readable(&disk.image()), [""; 0]);
    let (store, report) = open(&disk, sealed(1)).unwrap();
    let checkpoint = report.checkpoint.unwrap();
    assert_eq!((checkpoint.rows_dropped, checkpoint.missing_metrics), (0, vec![]));
    assert!(checkpoint.rows >= 80 && report.frames_replayed == 0 && encoded(&store) == content);
}

/// Rows in no order, as other programs write them, go another way than those of this crate.
#[test]
fn an_encrypted_file_of_another_program_loads() {
    let columns: [(&str, ArrayRef); 3] = [
        ("timestamp", Arc::new(StringArray::from(vec!["2026-01-05T12:02:00", "2026-01-05T12:01:00"]))),
        ("server_name", Arc::new(StringArray::from(vec!["secret-web", "secret-db1"]))),
        ("secret_metric", Arc::new(Float64Array::from(vec![Some(1.5), None]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let encryption = FileEncryptionProperties::builder(vec![1; 32]).build().unwrap();
    let properties = WriterProperties::builder().with_file_encryption_properties(encryption).build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties)).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let disk = Disk::with(&Image::from([(path().to_owned(), bytes)]));
    assert!(open(&disk, sealed(2)).unwrap_err().is_encrypted());
    let (store, report) = open(&disk, sealed(1)).unwrap();
    let checkpoint = report.checkpoint.unwrap();
    assert_eq!((checkpoint.format_version.as_str(), checkpoint.rows), ("1.0", 2));
    let window = store.window();
    let server = window.server("secret-web").unwrap();
    assert_eq!(server.value(0, server.newest_step()), Some(1.5));
}

#[test]
fn a_key_is_no_part_of_a_serialised_configuration() {
    let config = StoreConfig { previous_keys: vec![key(2)], ..sealed(1) };
    let text = serde_json::to_string(&config).unwrap();
    insta::assert_snapshot!(text, @r#"{"sync":"always","log_bytes_max":1073741824,"checkpoint_log_bytes_min":16777216,"replay_bytes_max":33554432}"#);
    assert_eq!(serde_json::from_str::<StoreConfig>(&text).unwrap(), plain());
    assert!(!format!("{config:?}").contains("[1, 1"));
}

/// The files that every version of an encrypted store wrote stay readable.
#[test]
fn every_version_of_an_encrypted_store_opens() {
    for (name, format_version) in [("store-encrypted-v1", "1.1"), (FIXTURE, "1.2")] {
        let mut image = Image::new();
        for entry in std::fs::read_dir(fixture(name)).unwrap() {
            let file = entry.unwrap().path();
            image.insert(file.file_name().unwrap().into(), std::fs::read(&file).unwrap());
        }
        let (store, report) = open(&Disk::with(&image), sealed(7)).unwrap();
        assert_eq!((report.frames_replayed, report.rewritten), (2, None));
        assert_eq!(report.checkpoint.unwrap().format_version, format_version);
        assert!(encoded(&store) == content_of(&filled(plain()), plain()));
    }
}

/// Writes the fixture; it is never written again for the same version.
#[test]
#[ignore = "writes the fixture"]
fn write_the_fixture() {
    std::fs::create_dir(fixture(FIXTURE)).unwrap();
    for (name, content) in filled(sealed(7)).image() {
        std::fs::write(fixture(FIXTURE).join(name), content).unwrap();
    }
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// With checkpoints of version 1.2.
const FIXTURE: &str = "store-encrypted-v2";
