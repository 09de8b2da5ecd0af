//! Any bytes as the log of a history, or as one of its Parquet files: it opens or says why not, and what it has taken
//! from the bytes is there again after the next start, each row once. The checksums of a log are made right first.
//!
//! Run with `cargo fuzz run -s none history -- -rss_limit_mb=2048 -malloc_limit_mb=512`.

#![no_main]

use std::any::Any;
use std::collections::BTreeMap;
use std::io::{self, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use libfuzzer_sys::fuzz_target;
use tft_core::history::{AlertEvent, FleetSnapshot, History, HistoryConfig, HistoryEntry, Query};
use tft_core::store::{Storage, StorageFile};
use tft_core::time::Timestamp;

/// Files in memory.
#[derive(Debug, Clone, Default)]
struct Memory(Arc<Mutex<BTreeMap<PathBuf, Vec<u8>>>>);

#[derive(Debug)]
struct MemoryFile(Memory, PathBuf);

impl Storage for Memory {
    fn create(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        let mut files = self.0.lock().unwrap();
        if files.contains_key(path) {
            return Err(ErrorKind::AlreadyExists.into());
        }
        files.insert(path.to_owned(), Vec::new());
        Ok(Box::new(MemoryFile(self.clone(), path.to_owned())))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn StorageFile>> {
        Ok(Box::new(MemoryFile(self.clone(), path.to_owned())))
    }

    fn read(&self, path: &Path) -> io::Result<(Box<dyn Read>, u64)> {
        let content = self.0.lock().unwrap().get(path).cloned().ok_or(ErrorKind::NotFound)?;
        let length = content.len() as u64;
        Ok((Box::new(Cursor::new(content)), length))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.0.lock().unwrap();
        let content = files.remove(from).ok_or(ErrorKind::NotFound)?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.0.lock().unwrap().remove(path).map(drop).ok_or(ErrorKind::NotFound.into())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<String>> {
        let files = self.0.lock().unwrap();
        Ok(files.keys().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect())
    }

    fn sync_directory(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn lock(&self, _: &Path) -> io::Result<Box<dyn Any + Send + Sync>> {
        Ok(Box::new(()))
    }
}

impl StorageFile for MemoryFile {
    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        self.0.0.lock().unwrap().get_mut(&self.1).unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.0.0.lock().unwrap().get_mut(&self.1).unwrap().truncate(length as usize);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes the checksums of the header and of each frame right, so that what lies behind them is reached.
fn mend(bytes: &mut [u8]) {
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |number, &byte| number << 8 | usize::from(byte));
    let Some(names) = bytes.get(12..16).map(number) else { return };
    let Some(header) = bytes.get_mut(..28 + names) else { return };
    let (content, checksum) = header.split_at_mut(24 + names);
    checksum.copy_from_slice(&crc32c::crc32c(content).to_le_bytes());
    let mut at = 28 + names;
    while let Some(length) = bytes.get(at..at + 4).map(number) {
        let Some(frame) = bytes.get_mut(at..at + 16 + length) else { return };
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&frame[..4]), &frame[8..]);
        frame[4..8].copy_from_slice(&checksum.to_le_bytes());
        at += 16 + length;
    }
}

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
