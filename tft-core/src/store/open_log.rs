//! The log of an open store: what is appended to, and what checkpoints have not covered yet.
//!
//! Owns the order of sequences and segments while a process runs; how a frame looks is in `log`, what is
//! durable in `commit`.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::commit::Commit;
use super::config::StoreConfig;
use super::durable::Ticket;
use super::log::error::LogError;
use super::log::frame;
use super::log::header::Header;
use super::log::recover::{Covered, Recovered};
use super::log::segment::{Failure, Segment};
use super::sealing::Keyring;
use super::storage::{Storage, beside, directory_of};
use crate::error::Error;
use crate::window::RollingWindow;

/// Where a store is kept.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) storage: Arc<dyn Storage>,
    pub(super) path: PathBuf,
    pub(super) config: StoreConfig,
    pub(super) keyring: Keyring,
    pub(super) commit: Commit,
    pub(super) _lock: Box<dyn Any + Send + Sync>,
}

/// The log of an open store.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) segment: Segment,
    /// The newest frame.
    pub(super) newest: u64,
    /// The newest frame that the checkpoint holds.
    pub(super) covered: u64,
    /// The size of the checkpoint.
    pub(super) checkpoint_bytes: u64,
    /// Segments that the next checkpoint makes superfluous, with their bytes.
    pub(super) older: Vec<(PathBuf, u64)>,
    /// Damaged segments; the next checkpoint moves them aside.
    pub(super) damaged: Vec<PathBuf>,
}

impl Place {
    pub(super) fn new(
        (storage, lock): (Arc<dyn Storage>, Box<dyn Any + Send + Sync>),
        path: &Path,
        config: StoreConfig,
        log: &Log,
    ) -> Self {
        let directory = directory_of(path).to_owned();
        let commit = Commit::new(Arc::clone(&storage), directory, log.segment.file(), log.newest);
        let keyring = Keyring::of(&config);
        Self { storage, path: path.to_owned(), config, keyring, commit, _lock: lock }
    }

    /// Lets no frame follow a failure that could not be undone.
    fn note(&self, failure: Failure) -> LogError {
        if !failure.is_undone {
            self.commit.suspend(&failure.error);
        }
        failure.error
    }
}

impl Log {
    /// Goes on with the last segment, or begins one.
    pub(super) fn go_on(
        (storage, keyring): (&dyn Storage, &Keyring),
        path: &Path,
        window: &RollingWindow,
        (covered, checkpoint_bytes, recovered): (Covered, u64, Recovered),
    ) -> Result<Self, Error> {
        let Recovered { newest, last, mut older, damaged, .. } = recovered;
        let header = Header::new(window.schema(), newest + 1);
        let segment = match last {
            Some(tail) if tail.can_take(&header, keyring) => Segment::resume(storage, tail)?,
            tail => {
                // An empty segment of another schema or key has the name that the new one takes.
                let tail = tail.filter(|tail| tail.header.first_sequence != header.first_sequence);
                older.extend(tail.map(|tail| (tail.path, tail.length)));
                for path in older.iter().map(|(path, _)| path).chain(&damaged) {
                    sync(storage, path)?;
                }
                Segment::create(storage, path, &header, keyring).map_err(|failure| failure.error)?
            }
        };
        // What was read may not be durable yet, and the next feed's promise rests on it.
        let lies_at = segment.path();
        let failed = |action| move |source| LogError::io(lies_at, action, source);
        segment.file().sync().map_err(failed("syncing it"))?;
        storage.sync_directory(directory_of(path)).map_err(failed("syncing its directory"))?;
        let covered = if let Covered::UpTo(sequence) = covered { sequence } else { 0 };
        Ok(Self { segment, newest, covered, checkpoint_bytes, older, damaged })
    }

    pub(super) fn append(&mut self, place: &Place, frame: &mut Vec<u8>) -> Result<Ticket, LogError> {
        place.commit.check()?;
        let sequence = self.newest + 1;
        frame::seal(frame, sequence, self.segment.key()).map_err(LogError::Unsealable)?;
        let (bytes, max) = (self.bytes() + frame.len() as u64, place.config.log_bytes_max);
        if bytes > max {
            return Err(LogError::Full { bytes: self.bytes(), max });
        }
        self.segment.append(frame).map_err(|failure| place.note(failure))?;
        self.newest = sequence;
        place.commit.appended(sequence);
        Ok(Ticket::of(sequence))
    }

    pub(super) fn begin_segment(&mut self, place: &Place, window: &RollingWindow) -> Result<(), LogError> {
        let header = Header::new(window.schema(), self.newest + 1);
        let begun = Segment::create(&*place.storage, &place.path, &header, &place.keyring);
        let begun = begun.map_err(|failure| place.note(failure))?;
        let ended = std::mem::replace(&mut self.segment, begun);
        if ended.path() != self.segment.path() {
            self.older.push((ended.path().to_owned(), ended.length()));
        }
        place.commit.switch_to(self.segment.file());
        Ok(())
    }

    /// Returns whether a checkpoint would hold or mend anything that the one before does not.
    pub(super) fn has_news(&self) -> bool {
        self.newest != self.covered || !self.older.is_empty() || !self.damaged.is_empty()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.segment.length() + self.older.iter().map(|(_, bytes)| bytes).sum::<u64>()
    }
}

/// Keeps other processes away from the files of a store.
pub(super) fn lock_files(storage: &dyn Storage, path: &Path) -> Result<Box<dyn Any + Send + Sync>, LogError> {
    let lock = beside(path, |name| format!(".{name}.lock"));
    storage.lock(&lock).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => LogError::InUse { path: path.to_owned() },
        _ => LogError::io(lock, "locking it", source),
    })
}

/// Makes what was read of a segment durable: a loss of power could take it otherwise, and not what follows it.
fn sync(storage: &dyn Storage, path: &Path) -> Result<(), LogError> {
    let synced = storage.open(path).and_then(|file| file.sync());
    synced.map_err(|source| LogError::io(path, "syncing it", source))
}

/// Removes a segment; returns whether it is gone.
pub(super) fn is_removed(storage: &dyn Storage, path: &Path) -> bool {
    let removed = storage.remove(path);
    removed.map_or_else(|error| error.kind() == io::ErrorKind::NotFound, |()| true)
}
