//! Whatever fails and whenever power is lost, every acknowledged feed is there afterwards.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use tft_core::store::{self, CheckpointReport, RecoveryReport, Store, StoreConfig, SyncMode};
use tft_core::time::Timestamp;
use tft_core::{Error, Record, RollingWindow, WindowConfig};

use crate::disk::{Disk, Fault, Image};
use crate::window_properties::{config, schema};

/// Feeds of the script.
const FEEDS: usize = 12;
/// The feeds after which the script saves a checkpoint.
const CHECKPOINTS: [usize; 2] = [4, 9];
const MODES: [SyncMode; 3] = [SyncMode::Always, SyncMode::Interval, SyncMode::Never];

/// The configurations of a mode: plain, and encrypted if this build can.
fn configs(sync: SyncMode) -> Vec<StoreConfig> {
    let plain = StoreConfig { sync, ..StoreConfig::default() };
    #[cfg(feature = "encryption")]
    {
        let key = Some(store::EncryptionKey::new([7; 32]));
        vec![plain.clone(), StoreConfig { key, ..plain }]
    }
    #[cfg(not(feature = "encryption"))]
    vec![plain]
}

fn path() -> &'static Path {
    Path::new("store/window.parquet")
}

fn at(minute: usize) -> Timestamp {
    Timestamp::from_millis(1_767_614_400_000 + 60_000 * minute as i64)
}

fn window() -> RollingWindow {
    RollingWindow::new(schema(), WindowConfig { samples_per_step_max: 64, ..config() }).unwrap()
}

/// The records of a feed: one of a server that no other feed names, one of a server that all name.
fn feed(number: usize) -> [Record; 2] {
    let record = |server: &str| Record::new(&schema(), server, at(number)).unwrap();
    [
        record(&format!("only-{number}")).with("m0", number as f64).unwrap(),
        record("all").with("m1", number as f64).unwrap().with_status("OK").unwrap(),
    ]
}

/// The encoded window after some of the feeds.
fn state(feeds: &[usize]) -> Vec<u8> {
    let mut window = window();
    for &number in feeds {
        window.ingest(&feed(number), at(number)).unwrap();
    }
    store::encode(&window, at(0)).unwrap()
}

fn open(disk: &Disk, config: &StoreConfig) -> Result<(Store, RecoveryReport), Error> {
    Store::open_on(Arc::new(disk.clone()), path(), window(), config.clone(), at(0))
}

/// The same with every feed synced.
fn always(config: &StoreConfig) -> StoreConfig {
    StoreConfig { sync: SyncMode::Always, ..config.clone() }
}

/// Opens an image and returns which feeds it has. What is missing before the last of them must be reported, and
/// come after the feeds that were promised.
fn feeds_in(image: &Image, promised: usize, config: &StoreConfig) -> (Vec<usize>, RecoveryReport) {
    let (disk, config) = (Disk::with(image), always(config));
    let (store, report) = open(&disk, &config).unwrap();
    let (found, missing): (Vec<_>, Vec<_>) = {
        let window = store.window();
        (1..=FEEDS).partition(|number| window.server(&format!("only-{number}")).is_some())
    };
    assert!(store::encode(&store.window(), at(0)).unwrap() == state(&found), "not what these feeds make");
    let newest = found.last().copied().unwrap_or(0);
    let missing: Vec<_> = missing.into_iter().filter(|&number| number < newest).collect();
    let reported = |report: &RecoveryReport| {
        let ranges =
            report.damage.iter().map(|damage| damage.first_missing as usize..=damage.last_missing as usize);
        ranges.flatten().collect::<Vec<_>>()
    };
    assert_eq!(
        (reported(&report), report.feeds_lost as usize),
        (missing.clone(), missing.len()),
        "{report:?}"
    );
    assert!(missing.iter().chain([&(newest + 1)]).all(|&number| number > promised), "{promised}: {report:?}");
    // What can be opened can be gone on with, and says the same again until a checkpoint holds it.
    let (_, ticket) = store.append(&feed(FEEDS + 1), at(FEEDS + 1)).unwrap();
    store.commit(ticket).unwrap();
    drop(store);
    let (store, again) = open(&disk, &config).unwrap();
    assert_eq!(store.window().tick_count() as usize, found.len() + 1, "{report:?} {again:?}");
    let is_rewritten = report.rewritten.is_some();
    assert_eq!(reported(&again), if is_rewritten { vec![] } else { missing });
    if !is_rewritten && (report.bytes_skipped > 0 || report.headers_mended > 0) {
        store.checkpoint(at(FEEDS + 2)).unwrap().unwrap();
        drop(store);
        let (store, last) = open(&disk, &config).unwrap();
        assert_eq!((store.window().tick_count() as usize, last.damage), (found.len() + 1, vec![]));
        assert!(disk.image().keys().any(|path| path.to_str().unwrap().contains(".corrupt-")));
    }
    (found, report)
}

/// Runs the script; returns the store and what was acknowledged.
fn run(store: &Store, disk: &Disk, sync: SyncMode) -> Vec<usize> {
    let mut acknowledged = Vec::new();
    for number in 1..=FEEDS {
        let before = store.window().tick_count();
        match store.append(&feed(number), at(number)) {
            Ok((_, ticket)) => {
                if store.commit(ticket).is_ok() {
                    acknowledged.push(number);
                    if sync == SyncMode::Always {
                        disk.mark(number);
                    }
                }
            }
            Err(_) => assert_eq!(store.window().tick_count(), before, "the window has a refused feed"),
        }
        if sync == SyncMode::Interval && number % 3 == 0 && store.sync().is_ok() {
            disk.mark(number);
        }
        if CHECKPOINTS.contains(&number) && store.checkpoint(at(number)).is_ok() {
            disk.mark(number);
        }
    }
    acknowledged
}

#[test]
fn every_state_that_a_loss_of_power_leaves_opens_with_all_that_was_promised() {
    for config in MODES.into_iter().flat_map(configs) {
        let disk = Disk::default();
        let (store, _) = open(&disk, &config).unwrap();
        let sync = config.sync;
        let acknowledged = run(&store, &disk, sync);
        assert_eq!(acknowledged, (1..=FEEDS).collect::<Vec<_>>());
        let mut images = 0;
        disk.crash_images(|promised, image| {
            let (_, report) = feeds_in(image, promised.unwrap_or(0), &config);
            assert_eq!(report.set_aside, [], "{sync:?}");
            images += 1;
        });
        assert!(images > 100, "{images}");
    }
}

#[test]
fn the_end_of_the_process_loses_nothing_in_any_mode() {
    for config in MODES.into_iter().flat_map(configs) {
        let disk = Disk::default();
        let (store, _) = open(&disk, &config).unwrap();
        for number in 1..=FEEDS {
            let (_, ticket) = store.append(&feed(number), at(number)).unwrap();
            store.commit(ticket).unwrap();
            assert_eq!(feeds_in(&disk.image(), number, &config).0.len(), number);
            if CHECKPOINTS.contains(&number) {
                store.checkpoint(at(number)).unwrap().unwrap();
                assert_eq!(feeds_in(&disk.image(), number, &config).0.len(), number);
            }
        }
    }
}

fn has_all(image: &Image, config: &StoreConfig, acknowledged: &[usize], fault: Fault) {
    let (store, report) = open(&Disk::with(image), config).unwrap();
    let window = store.window();
    for number in acknowledged {
        let server = window.server(&format!("only-{number}"));
        let value = server.and_then(|server| server.value(0, server.newest_step()));
        assert_eq!(value, Some(*number as f32), "feed {number} is lost: {fault:?} {report:?}");
    }
    assert_eq!(report.damage, [], "{fault:?}");
}

/// Runs the script with a fault; returns whether the fault came to its turn.
fn survives(fault: Fault, config: &StoreConfig) -> bool {
    let disk = Disk::default();
    disk.fail(Some(fault));
    let opened = open(&disk, config);
    let Ok((store, _)) = opened else {
        disk.fail(None);
        has_all(&disk.image(), config, &[], fault);
        return true;
    };
    let mut acknowledged = run(&store, &disk, SyncMode::Always);
    let came = disk.operations() > fault.at;
    has_all(&disk.image(), config, &acknowledged, fault);
    for image in disk.images_now() {
        has_all(&image, config, &acknowledged, fault);
    }
    disk.fail(None);
    let saved = store.checkpoint(at(FEEDS));
    assert!(saved.is_ok(), "{fault:?}: {:?}", saved.map(|saved: Option<CheckpointReport>| saved.is_some()));
    let (_, ticket) = store.append(&feed(FEEDS + 1), at(FEEDS + 1)).unwrap();
    store.commit(ticket).unwrap();
    acknowledged.push(FEEDS + 1);
    for image in disk.images_now() {
        has_all(&image, config, &acknowledged, fault);
    }
    came
}

#[test]
fn whichever_operation_fails_nothing_acknowledged_is_lost() {
    for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
        for lasts in [false, true] {
            for config in configs(SyncMode::Always) {
                let faults = (0..).map(|at| Fault { at, lasts, kind });
                let count = faults.take_while(|&fault| survives(fault, &config)).count();
                assert!(count > 40, "{count}");
            }
        }
    }
}

/// A disk with feeds in a checkpoint and in one segment, the name of which is returned as well.
fn image_with_a_segment(config: &StoreConfig) -> (Image, std::path::PathBuf) {
    let disk = Disk::default();
    let (store, _) = open(&disk, config).unwrap();
    run(&store, &disk, SyncMode::Always);
    let image = disk.image();
    let mut segments = image.keys().filter(|path| path.to_str().unwrap().contains(".log-"));
    let segment = segments.next_back().unwrap().clone();
    assert!(segments.next().is_none());
    (image, segment)
}

#[test]
fn the_newest_segment_may_end_anywhere() {
    for config in configs(SyncMode::Always) {
        let (image, segment) = image_with_a_segment(&config);
        for length in 0..image[&segment].len() {
            let mut image = image.clone();
            image.get_mut(&segment).unwrap().truncate(length);
            let (found, report) = feeds_in(&image, CHECKPOINTS[1], &config);
            assert!(found.len() < FEEDS, "{length}: {found:?}");
            assert_eq!(report.damage, [], "{length}");
        }
    }
}

/// The sequences of the frames of a segment, and where they lie.
fn frames(segment: &[u8]) -> Vec<(usize, std::ops::Range<usize>)> {
    let number = |at: usize| u32::from_le_bytes(*segment[at..].first_chunk().unwrap()) as usize;
    let mut at = 28 + number(12);
    std::iter::from_fn(|| {
        let start = at;
        (start < segment.len()).then(|| {
            at += 16 + number(start);
            (number(start + 8), start..at)
        })
    })
    .collect()
}

/// Returns whether a byte of a segment is what its key depends on, and its header with it, which ends at `end`.
fn is_salt_or_nonce(config: &StoreConfig, byte: usize, end: usize) -> bool {
    *config != always(&StoreConfig::default())
        && ((40..72).contains(&byte) || (end - 4 - 12..end - 4).contains(&byte))
}

#[test]
fn a_changed_bit_of_the_newest_segment_costs_the_feed_that_has_it() {
    for config in configs(SyncMode::Always) {
        let (image, segment) = image_with_a_segment(&config);
        let frames = frames(&image[&segment]);
        assert_eq!(frames.last().unwrap().0, FEEDS);
        for bit in 0..8 * image[&segment].len() {
            let mut image = image.clone();
            image.get_mut(&segment).unwrap()[bit / 8] ^= 1 << (bit % 8);
            let hit = frames.iter().find(|(_, place)| place.contains(&(bit / 8)));
            if is_salt_or_nonce(&config, bit / 8, frames[0].1.start) {
                let (store, report) = open(&Disk::with(&image), &config).unwrap();
                assert_eq!((report.set_aside.len(), report.damage.len()), (1, 1), "bit {bit}");
                assert_eq!(store.window().tick_count(), CHECKPOINTS[1] as u64, "bit {bit}");
                continue;
            }
            let (found, report) = feeds_in(&image, CHECKPOINTS[1], &config);
            let expected: Vec<_> =
                (1..=FEEDS).filter(|&number| hit.is_none_or(|&(sequence, _)| sequence != number)).collect();
            assert_eq!(found, expected, "bit {bit}");
            let length = hit.map_or(0, |(_, place)| place.len() as u64);
            let is_last = hit.is_some_and(|&(sequence, _)| sequence == FEEDS);
            let (skipped, dropped) = if is_last { (0, length) } else { (length, 0) };
            assert_eq!((report.bytes_skipped, report.bytes_dropped), (skipped, dropped), "bit {bit}");
            assert_eq!(report.headers_mended, usize::from(hit.is_none()), "bit {bit}");
        }
    }
}

#[test]
fn a_created_store_is_nothing_or_whole_and_promises_what_follows() {
    for config in configs(SyncMode::Always) {
        let disk = Disk::default();
        let mut first = window();
        first.ingest(&feed(1), at(1)).unwrap();
        let create = |window| Store::create_on(Arc::new(disk.clone()), path(), window, config.clone(), at(1));
        let (store, saved) = create(first.clone()).unwrap();
        assert!(saved.rows > 0);
        disk.mark(1);
        let (_, ticket) = store.append(&feed(2), at(2)).unwrap();
        store.commit(ticket).unwrap();
        disk.mark(2);
        assert_eq!(create(first.clone()).unwrap_err().kind(), tft_core::ErrorKind::Unavailable);
        drop(store);
        assert_eq!(create(first).unwrap_err().kind(), tft_core::ErrorKind::InvalidInput);
        disk.crash_images(|promised, image| {
            let (found, report) = feeds_in(image, promised.unwrap_or(0), &config);
            assert!(found.len() <= 2, "{found:?} of {promised:?}: {report:?}");
            assert_eq!((report.damage, report.set_aside), (vec![], vec![]));
        });
    }
}

#[cfg(feature = "encryption")]
#[test]
fn a_loss_of_power_while_files_change_their_key_loses_nothing() {
    let key = |byte| store::EncryptionKey::new([byte; 32]);
    let plain = StoreConfig { sync: SyncMode::Always, ..StoreConfig::default() };
    let sealed = StoreConfig { key: Some(key(1)), ..plain.clone() };
    let rotated = StoreConfig { key: Some(key(2)), previous_keys: vec![key(1)], ..plain.clone() };
    let disk = Disk::default();
    run(&open(&disk, &plain).unwrap().0, &disk, SyncMode::Always);
    for config in [&sealed, &rotated] {
        let (_, report) = open(&disk, config).unwrap();
        assert!(report.rewritten.is_some());
    }
    let mut images = 0;
    disk.crash_images(|promised, image| {
        let (_, report) = feeds_in(image, promised.unwrap_or(0), &rotated);
        assert_eq!(report.set_aside, []);
        images += 1;
    });
    assert!(images > 100, "{images}");
}
