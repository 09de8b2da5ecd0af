//! The history as its users see it: open, append, look after, in figures.

use std::any::Any;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::config::HistoryConfig;
use super::entry::HistoryEntry;
use super::error::HistoryError;
use super::file_name::day_of;
use super::held::Held;
use super::recover;
use super::report::{Appended, Expiry, HistoryRecovery, HistoryStats};
use super::segment::Place;
use crate::error::Error;
use crate::store::{FileSystem, Keyring, Storage};
use crate::time::Timestamp;

/// What happened to alerts, and how the fleet was, in a directory.
///
/// Usable from several threads at a time; one process at a time has it open. Queries do not keep rows from being
/// appended while they read files.
///
/// # Failures
/// Rows that cannot be appended are refused as a whole, and nothing is promised of them; the next ones may succeed.
///
/// # Examples
/// ```
/// use tft_core::history::{AlertEvent, EventKind, History, HistoryConfig, Query};
/// use tft_core::time::Timestamp;
///
/// let directory = tempfile::tempdir()?;
/// let now = Timestamp::parse("2026-01-05T12:00:00Z")?;
/// let (history, _) = History::open(&directory.path().join("history"), HistoryConfig::default(), now)?;
///
/// let silence = ("17", "server=~db-.*", Some(now.plus_millis(3_600_000)));
/// let event = AlertEvent::silence(EventKind::SilenceSet, now, silence, ("ada", "maintenance"))?;
/// history.append(&[event.into()])?;
///
/// let page = history.alerts(&Query { from: Some(now), ..Query::default() })?;
/// assert_eq!(page.rows[0].actor, "ada");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct History {
    storage: Arc<dyn Storage>,
    directory: PathBuf,
    config: HistoryConfig,
    keyring: Keyring,
    held: Mutex<Held>,
    _lock: Box<dyn Any + Send + Sync>,
}

impl History {
    /// Most bytes of rows, as JSON, that are appended at a time.
    pub const BATCH_BYTES_MAX: usize = 16 << 20;

    /// Opens the history in a directory, or begins one; directories that are missing are created.
    ///
    /// A corrupt file is moved aside and reported, never deleted: the history opens with what can be read. Files that
    /// are not encrypted as the configuration says are rewritten.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) if another process has it open;
    /// [`InvalidConfig`](crate::ErrorKind::InvalidConfig); [`InvalidInput`](crate::ErrorKind::InvalidInput) if a file is
    /// of a newer format; [`Encrypted`](crate::ErrorKind::Encrypted) if no key given opens a file, before any is
    /// changed; [`Io`](crate::ErrorKind::Io) if a file cannot be read or written.
    pub fn open(
        directory: &Path,
        config: HistoryConfig,
        now: Timestamp,
    ) -> Result<(Self, HistoryRecovery), Error> {
        let created = std::fs::create_dir_all(directory);
        let path = || directory.to_owned();
        created.map_err(|source| HistoryError::Io { path: path(), action: "creating it", source })?;
        Self::open_on(Arc::new(FileSystem), directory, config, now)
    }

    /// Opens a history whose files lie somewhere else than in the operating system's file system; its directory must
    /// be there.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_on(
        storage: Arc<dyn Storage>,
        directory: &Path,
        config: HistoryConfig,
        now: Timestamp,
    ) -> Result<(Self, HistoryRecovery), Error> {
        config.validate()?;
        let path = directory.join(".lock");
        let lock = storage.lock(&path).map_err(|source| match source.kind() {
            io::ErrorKind::WouldBlock => HistoryError::InUse { path: directory.to_owned() },
            _ => HistoryError::Io { path, action: "locking it", source },
        })?;
        let keyring = Keyring::of(&config.keys());
        let place = Place { storage: &*storage, directory, keyring: &keyring };
        let (held, report) = recover::recover(place, now)?;
        let (directory, held) = (directory.to_owned(), Mutex::new(held));
        Ok((Self { storage, directory, config, keyring, held, _lock: lock }, report))
    }

    /// Appends rows, in order: when this returns they survive a loss of power.
    ///
    /// Rows beyond those that a day may have, and rows of more than [`HistoryEntry::BYTES_MAX`], are refused and
    /// counted; the others are appended.
    ///
    /// # Performance
    /// One sync; rows of another day than those before, or of a full log, write Parquet files first.
    ///
    /// # Errors
    /// [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) if the rows have more than
    /// [`BATCH_BYTES_MAX`](Self::BATCH_BYTES_MAX); [`Io`](crate::ErrorKind::Io) if they could not be made durable. None
    /// of them is in the history then.
    pub fn append(&self, entries: &[HistoryEntry]) -> Result<Appended, Error> {
        let mut held = self.lock();
        let Some(latest) = entries.iter().map(HistoryEntry::at).max() else {
            return Ok(Appended { first_sequence: held.log.journal.next(), count: 0, refused: 0 });
        };
        let contents: Vec<_> = entries.iter().filter_map(HistoryEntry::encode).collect();
        let bytes = contents.iter().map(Vec::len).sum();
        if bytes > Self::BATCH_BYTES_MAX {
            return Err(HistoryError::BatchTooLarge { bytes }.into());
        }
        let day = day_of(latest);
        held.make_room(self.place(), &self.config, day)?;
        let room = self.config.rows_per_day_max.saturating_sub(held.rows_of(held.log.name.day));
        let room = usize::try_from(room).unwrap_or(usize::MAX).min(contents.len());
        let first_sequence = held.log.journal.next();
        // What is in memory is what would be read again.
        let decoded = (first_sequence..).zip(&contents);
        let decoded = decoded.map(|(sequence, content)| HistoryEntry::decode(sequence, content));
        let (mut rows, mut kept) = (Vec::new(), Vec::new());
        for (row, content) in decoded.zip(&contents).take(room) {
            rows.extend(row);
            kept.push(content.clone());
        }
        if !kept.is_empty() {
            held.log.journal.append(&kept)?;
        }
        let count = kept.len();
        held.log.entries.extend(rows);
        let refused = entries.len() - count;
        held.rows_refused += refused as u64;
        Ok(Appended { first_sequence, count, refused })
    }

    /// Turns the rows of a day that is over into Parquet files, and removes what is too old or too much. To be called
    /// from time to time.
    ///
    /// # Errors
    /// [`ErrorKind::Io`](crate::ErrorKind::Io) naming what failed; the next call tries again.
    pub fn maintain(&self, now: Timestamp) -> Result<Expiry, Error> {
        let (mut held, day) = (self.lock(), day_of(now));
        if held.log.journal.is_broken() || held.log.name.day < day && !held.log.entries.is_empty() {
            held.roll(self.place(), day)?;
        }
        held.remove_superfluous(self.place())?;
        held.expire(self.place(), &self.config, day)
    }

    /// Returns the history in figures.
    pub fn stats(&self) -> HistoryStats {
        let held = self.lock();
        let in_segments = held.segments.values().map(|segment| *segment.times.start()).min();
        let in_log = held.log.entries.iter().map(HistoryEntry::at).min();
        HistoryStats {
            rows: held.segments.values().map(|segment| segment.rows).sum::<u64>()
                + held.log.entries.len() as u64,
            bytes: held.bytes(),
            segments: held.segments.len(),
            oldest: in_segments.into_iter().chain(in_log).min(),
            rows_refused: held.rows_refused,
            rows_expired: held.rows_expired,
            files_set_aside: held.files_set_aside,
        }
    }

    /// Returns the directory.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn place(&self) -> Place<'_> {
        Place { storage: &*self.storage, directory: &self.directory, keyring: &self.keyring }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
