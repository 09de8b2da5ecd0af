//! Whatever fails and whenever power is lost, every row that was acknowledged is in the history, each once.

use std::io::ErrorKind;

use tft_core::alert::AlertState;
use tft_core::history::{History, HistoryConfig, HistoryEntry};

use crate::disk::{Disk, Fault, Image};
use crate::history::{at, open, rows, snapshot, transition};

/// Batches of the script; each is of two rows.
const BATCHES: i64 = 12;
const ROWS: u64 = 2;
/// Minutes between batches: a day ends after every third one.
const PACE_MINUTES: i64 = 8 * 60;

/// Plain, and encrypted if this build can.
fn configs() -> Vec<HistoryConfig> {
    let plain = HistoryConfig::default();
    #[cfg(feature = "encryption")]
    {
        let key = Some(tft_core::store::EncryptionKey::new([7; 32]));
        vec![plain.clone(), HistoryConfig { key, ..plain }]
    }
    #[cfg(not(feature = "encryption"))]
    vec![plain]
}

fn batch(number: i64) -> [HistoryEntry; 2] {
    let minute = number * PACE_MINUTES;
    let server = format!("only-{number}");
    let event = transition((&server, "memory"), (minute, minute), AlertState::Firing);
    [event.into(), snapshot(minute, &["all"]).into()]
}

/// The batches that are there, as whole rows.
fn batches_in(history: &History) -> Vec<HistoryEntry> {
    let found = rows(history);
    let mut sequences: Vec<_> = found.iter().map(HistoryEntry::sequence).collect();
    sequences.dedup();
    assert_eq!(sequences.len(), found.len(), "a row is there twice");
    found
}

/// What was acknowledged, as it was when it was appended.
#[derive(Default)]
struct Acknowledged(Vec<HistoryEntry>);

impl Acknowledged {
    fn add(&mut self, entries: &[HistoryEntry], first_sequence: u64) {
        for (sequence, entry) in (first_sequence..).zip(entries) {
            let mut entry = entry.clone();
            match &mut entry {
                HistoryEntry::Alert(event) => event.sequence = sequence,
                HistoryEntry::Snapshot(snapshot) => snapshot.sequence = sequence,
                _ => {}
            }
            self.0.push(entry);
        }
    }
}

/// Runs the script; marks the trace with how many rows are acknowledged.
fn run(history: &History, disk: &Disk, acknowledged: &mut Acknowledged) {
    for number in 0..BATCHES {
        let entries = batch(number);
        if let Ok(appended) = history.append(&entries) {
            assert_eq!(appended.count as u64, ROWS);
            acknowledged.add(&entries, appended.first_sequence);
            disk.mark(acknowledged.0.len());
        }
        if number == 7 {
            // What fails is tried again.
            let _ = history.maintain(at(number * PACE_MINUTES + 24 * 60));
        }
    }
}

/// Opens an image: all that was acknowledged must be there and nothing twice; what was being appended may be.
fn holds(image: &Image, config: &HistoryConfig, acknowledged: &[HistoryEntry], appending: usize) {
    let disk = Disk::with(image);
    let (history, recovery) = open(&disk, config).unwrap();
    assert_eq!((recovery.rows_lost, recovery.set_aside.len()), (0, 0), "{recovery:?}");
    let found = batches_in(&history);
    assert!(found.len() <= acknowledged.len() + appending, "{} of {}", found.len(), acknowledged.len());
    assert_eq!(found[..acknowledged.len()], *acknowledged);
    // What can be opened can be gone on with, and says the same again.
    let appended = history.append(&batch(BATCHES)).unwrap();
    assert_eq!(appended.count as u64, ROWS);
    drop(history);
    let (history, again) = open(&disk, config).unwrap();
    assert_eq!((again.rows, again.rows_lost), (found.len() as u64 + ROWS, 0), "{recovery:?} {again:?}");
    assert_eq!(batches_in(&history)[..found.len()], found);
}

#[test]
fn every_state_that_a_loss_of_power_leaves_opens_with_all_that_was_acknowledged() {
    for config in configs() {
        let disk = Disk::default();
        let (history, _) = open(&disk, &config).unwrap();
        let mut acknowledged = Acknowledged::default();
        run(&history, &disk, &mut acknowledged);
        assert_eq!(acknowledged.0.len() as u64, ROWS * BATCHES as u64);
        let mut images = 0;
        disk.crash_images(|marked, image| {
            let count = marked.unwrap_or(0);
            holds(image, &config, &acknowledged.0[..count], ROWS as usize);
            images += 1;
        });
        assert!(images > 200, "{images}");
    }
}

/// Runs the script with a fault; returns whether the fault came to its turn.
fn survives(fault: Fault, config: &HistoryConfig) -> bool {
    let disk = Disk::default();
    disk.fail(Some(fault));
    let mut acknowledged = Acknowledged::default();
    let Ok((history, _)) = open(&disk, config) else {
        for image in disk.images_now() {
            holds(&image, config, &[], 0);
        }
        return true;
    };
    run(&history, &disk, &mut acknowledged);
    let came = disk.operations() > fault.at;
    // A batch that was refused may have been written all the same, until the next one.
    let appending = ROWS as usize;
    for image in [disk.image()].into_iter().chain(disk.images_now()) {
        holds(&image, config, &acknowledged.0, appending);
    }
    disk.fail(None);
    let entries = batch(BATCHES + 3);
    let appended = history.append(&entries).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
    acknowledged.add(&entries, appended.first_sequence);
    assert_eq!(batches_in(&history), acknowledged.0, "{fault:?}");
    for image in [disk.image()].into_iter().chain(disk.images_now()) {
        holds(&image, config, &acknowledged.0, 0);
    }
    came
}

#[test]
fn whichever_operation_fails_nothing_acknowledged_is_lost_or_there_twice() {
    for kind in [ErrorKind::Other, ErrorKind::StorageFull] {
        for lasts in [false, true] {
            for config in configs() {
                let faults = (0..).map(|at| Fault { at, lasts, kind });
                let count = faults.take_while(|&fault| survives(fault, &config)).count();
                assert!(count > 40, "{count}");
            }
        }
    }
}

/// A disk with a log of two batches, the name of which is returned as well.
fn image_with_a_log(config: &HistoryConfig) -> (Image, std::path::PathBuf) {
    let disk = Disk::default();
    let (history, _) = open(&disk, config).unwrap();
    for number in 0..2 {
        history.append(&batch(number)).unwrap();
    }
    let image = disk.image();
    let log = image.keys().next_back().unwrap().clone();
    assert_eq!(image.len(), 1);
    (image, log)
}

#[test]
fn the_log_may_end_anywhere() {
    for config in configs() {
        let (image, log) = image_with_a_log(&config);
        for length in 0..image[&log].len() {
            let mut image = image.clone();
            image.get_mut(&log).unwrap().truncate(length);
            holds(&image, &config, &[], 2 * ROWS as usize);
        }
    }
}

#[test]
fn a_changed_bit_of_the_log_costs_at_most_the_row_that_has_it() {
    for config in configs() {
        let (image, log) = image_with_a_log(&config);
        let is_plain = config == HistoryConfig::default();
        for bit in (0..8 * image[&log].len()).step_by(3) {
            let mut image = image.clone();
            image.get_mut(&log).unwrap()[bit / 8] ^= 1 << (bit % 8);
            // Of an encrypted log what the key depends on may be lost, and then it is moved aside.
            let Ok((history, recovery)) = open(&Disk::with(&image), &config) else {
                assert!(!is_plain, "bit {bit}");
                continue;
            };
            let found = batches_in(&history).len();
            let least = if is_plain || recovery.set_aside.is_empty() { 3 } else { 0 };
            assert!((least..=4).contains(&found), "bit {bit}: {found} {recovery:?}");
            let is_told =
                recovery.rows_lost > 0 || recovery.bytes_dropped > 0 || !recovery.set_aside.is_empty();
            assert!(found == 4 || is_told, "bit {bit}: {recovery:?}");
        }
    }
}
