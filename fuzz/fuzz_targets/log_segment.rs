//! Any bytes as the newest segment of a log: the store opens or says why not, and what it has taken from the
//! bytes is there again after the next start. Some are made valid first, and of those some are damaged again, so that
//! frames behind damage are searched for.
//!
//! Run with `cargo fuzz run -s none log_segment -- -rss_limit_mb=2048 -malloc_limit_mb=512`.

#![no_main]

use std::any::Any;
use std::collections::BTreeMap;
use std::io::{self, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use libfuzzer_sys::fuzz_target;
use tft_core::schema::Schema;
use tft_core::store::{self, Storage, StorageFile, Store, StoreConfig};
use tft_core::time::Timestamp;
use tft_core::{RollingWindow, WindowConfig};

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
        Ok(files.keys().map(|path| path.to_str().unwrap().to_owned()).collect())
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

fuzz_target!(|bytes: &[u8]| {
    // The first byte says whether the checksums are made right, and how much is damaged after that.
    let Some((&mode, bytes)) = bytes.split_first() else { return };
    let mut bytes = bytes.to_vec();
    if mode % 2 == 1 {
        mend(&mut bytes);
        for place in 0..usize::from(mode >> 1) % 4 {
            let at = bytes.len() * usize::from(mode >> 3) / 32 + 61 * place;
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (mode >> 5);
            }
        }
    }
    let memory = Memory::default();
    let segment = PathBuf::from("window.parquet.log-00000000000000000001");
    memory.0.lock().unwrap().insert(segment, bytes);
    let at = Timestamp::from_millis(0);
    let open = || {
        let config = WindowConfig { steps_per_server: 16, servers_max: 100, ..WindowConfig::default() };
        let window = RollingWindow::new(Schema::server_metrics(), config).unwrap();
        Store::open_on(Arc::new(memory.clone()), Path::new("window.parquet"), window, StoreConfig::default(), at)
    };
    let Ok((first, report)) = open() else { return };
    assert!(first.window().tick_count() <= report.frames_replayed);
    assert!(report.feeds_lost == 0 || !report.damage.is_empty());
    let taken = store::encode(&first.window(), at).unwrap();
    drop(first);
    let (again, _) = open().unwrap();
    assert!(store::encode(&again.window(), at).unwrap() == taken);
});
