//! Any bytes as the log of a history, or as one of its Parquet files: it opens or says why not, and what it has taken
//! from the bytes is there again after the next start, each row once. The checksums of a log are made right first.
//!
//! The Parquet reader's panics are caught in `store`. libFuzzer's hook would still take them for findings, so that only
//! those of this crate's own code are.
//!
//! Run with `cargo fuzz run -s none history -- -rss_limit_mb=2048 -malloc_limit_mb=512`.

#![no_main]

mod memory;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};

use libfuzzer_sys::fuzz_target;
use tft_core::history::{AlertEvent, FleetSnapshot, History, HistoryConfig, HistoryEntry, Query};
use tft_core::time::Timestamp;

use self::memory::{Memory, mend};

static OWN_PANICS_ONLY: Once = Once::new();

/// Every row that pages have, the newest first.
fn rows(history: &History) -> Vec<HistoryEntry> {
    let mut rows: Vec<HistoryEntry> = Vec::new();
    let mut query = Query { limit: 1000, ..Query::default() };
    loop {
        let page = history.page::<AlertEvent>(&query).unwrap();
        rows.extend(page.rows.into_iter().map(HistoryEntry::from));
        query.before = page.next;
        if query.before.is_none() {
            break;
        }
    }
    let snapshots = history.page::<FleetSnapshot>(&Query { limit: 10_000, ..Query::default() }).unwrap();
    rows.extend(snapshots.rows.into_iter().map(HistoryEntry::from));
    rows
}

fuzz_target!(|bytes: &[u8]| {
    OWN_PANICS_ONLY.call_once(|| {
        std::panic::set_hook(Box::new(|panic| {
            let is_own = |file: &str| file.contains("tft-core") || file.contains("fuzz_targets");
            if panic.location().is_some_and(|location| is_own(location.file())) {
                eprintln!("{panic}");
                std::process::abort();
            }
        }));
    });
    // The first byte says which file it is.
    let Some((&mode, bytes)) = bytes.split_first() else { return };
    let mut bytes = bytes.to_vec();
    let kind = ["log", "alerts.parquet", "environment.parquet"][usize::from(mode) % 3];
    if kind == "log" && mode >= 128 {
        mend(&mut bytes);
    }
    let memory = Memory::default();
    let path = PathBuf::from(format!("2026-01-05-00000000000000000001.{kind}"));
    memory.0.lock().unwrap().insert(path, bytes);
    let at = Timestamp::from_millis(1_767_614_400_000);
    let open = || History::open_on(Arc::new(memory.clone()), Path::new(""), HistoryConfig::default(), at);
    let Ok((history, _)) = open() else { return };
    // Damage within a file is found when that part of it is read, and the file moved aside then.
    let _ = (rows(&history), history.summary(None, None).unwrap());
    let found = rows(&history);
    drop(history);
    let (history, again) = open().unwrap();
    assert_eq!(again.rows, history.stats().rows);
    assert!(format!("{:?}", rows(&history)) == format!("{found:?}"));
    history.remove_server("db-1", at).unwrap();
});
