//! Files in memory, as the store and the history use them, and checksums that are right again.

use std::any::Any;
use std::collections::BTreeMap;
use std::io::{self, Cursor, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use tft_core::store::{Storage, StorageFile};

/// Files in memory.
#[derive(Debug, Clone, Default)]
pub struct Memory(pub Arc<Mutex<BTreeMap<PathBuf, Vec<u8>>>>);

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
pub fn mend(bytes: &mut [u8]) {
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
