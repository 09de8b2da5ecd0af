//! The files of an open history: a log that rows are appended to, and Parquet files of what came before.
//!
//! Owns the order of changes, so that every crash leaves all rows, each once: a log's rows are Parquet before the next
//! log begins, and a log is removed after that. Rows of a log that are also in a Parquet file with the log's first
//! sequence are the same rows.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use super::LOG_NAME;
use super::config::HistoryConfig;
use super::entry::HistoryEntry;
use super::error::HistoryError;
use super::event::AlertEvent;
use super::file_name::FileName;
use super::report::Expiry;
use super::row::HistoryRow;
use super::segment::{Place, Segment};
use super::snapshot::FleetSnapshot;
use crate::error::Error;
use crate::store::Journal;

/// The files of an open history.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) log: Log,
    pub(super) segments: BTreeMap<FileName, Segment>,
    /// Logs whose rows are in Parquet files, and which could not be removed yet.
    pub(super) superfluous: Vec<PathBuf>,
    pub(super) rows_refused: u64,
    pub(super) rows_expired: u64,
    pub(super) files_set_aside: u64,
}

/// The log that rows are appended to.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) journal: Journal,
    pub(super) name: FileName,
    /// What it holds, ascending.
    pub(super) entries: Vec<HistoryEntry>,
}

impl Log {
    /// Begins a log, durable when this returns.
    pub(super) fn create(place: Place<'_>, day: i64, first: u64) -> Result<Self, Error> {
        let name = FileName::log(day, first);
        let path = name.path(place.directory);
        let journal = Journal::create(place.storage, &path, (LOG_NAME, first), place.keyring)?;
        Ok(Self { journal, name, entries: Vec::new() })
    }
}

impl Held {
    /// Begins another log if the present one is of another day, full, or not to be written to any more.
    pub(super) fn make_room(
        &mut self,
        place: Place<'_>,
        config: &HistoryConfig,
        day: i64,
    ) -> Result<(), Error> {
        let Log { journal, name, entries } = &self.log;
        let is_full = journal.length() >= config.log_bytes_max && !entries.is_empty();
        // Rows of yesterday come a little late at midnight; a clock that was set back stays where it is.
        let is_of_day = day == name.day || day == name.day - 1;
        if journal.is_broken() || is_full || !is_of_day {
            self.roll(place, day)?;
            // What could not be removed is tried again the next time.
            let _ = self.expire(place, config, day);
        }
        Ok(())
    }

    /// Turns the rows of the log into Parquet files, begins another log, and removes the old one.
    pub(super) fn roll(&mut self, place: Place<'_>, day: i64) -> Result<(), Error> {
        let (name, next) = (self.log.name, self.log.journal.next());
        let written = write_segments(place, name, &self.log.entries)?;
        let begun = Log::create(place, day, next)?;
        let ended = std::mem::replace(&mut self.log, begun);
        self.segments.extend(written.into_iter().map(|segment| (segment.name, segment)));
        if ended.name != self.log.name {
            self.superfluous.push(ended.journal.path().to_owned());
        }
        let _ = self.remove_superfluous(place);
        Ok(())
    }

    /// Removes logs whose rows are in Parquet files.
    pub(super) fn remove_superfluous(&mut self, place: Place<'_>) -> Result<(), Error> {
        if self.superfluous.is_empty() {
            return Ok(());
        }
        for path in &self.superfluous {
            remove(place, path)?;
        }
        sync_directory(place)?;
        self.superfluous.clear();
        Ok(())
    }

    /// Removes files that are too old, and then the oldest days as long as there are too many bytes.
    pub(super) fn expire(
        &mut self,
        place: Place<'_>,
        config: &HistoryConfig,
        day: i64,
    ) -> Result<Expiry, Error> {
        let mut expiry = Expiry::default();
        let first_day = day.saturating_sub(i64::from(config.retention_days));
        let too_old: Vec<_> = self.segments.keys().filter(|name| name.day < first_day).copied().collect();
        for name in too_old {
            expiry.rows += self.remove_segment(place, name)?;
            expiry.segments_too_old += 1;
        }
        while self.bytes() > config.bytes_max
            && let Some(oldest) = self.segments.keys().map(|name| name.day).min()
        {
            let of_day: Vec<_> = self.segments.keys().filter(|name| name.day == oldest).copied().collect();
            for name in of_day {
                expiry.rows += self.remove_segment(place, name)?;
                expiry.segments_too_many += 1;
            }
        }
        if expiry != Expiry::default() {
            sync_directory(place)?;
        }
        Ok(expiry)
    }

    pub(super) fn rows_of(&self, day: i64) -> u64 {
        let in_log = if self.log.name.day == day { self.log.entries.len() as u64 } else { 0 };
        let of_day = self.segments.values().filter(|segment| segment.name.day == day);
        in_log + of_day.map(|segment| segment.rows).sum::<u64>()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.log.journal.length() + self.segments.values().map(|segment| segment.bytes).sum::<u64>()
    }

    /// Removes a file and forgets it; returns how many rows it had.
    pub(super) fn remove_segment(&mut self, place: Place<'_>, name: FileName) -> Result<u64, Error> {
        let Some(segment) = self.segments.get(&name) else { return Ok(0) };
        remove(place, &segment.path)?;
        let rows = segment.rows;
        self.segments.remove(&name);
        self.rows_expired += rows;
        Ok(rows)
    }
}

/// Writes a log's rows to Parquet files, one per table that has any.
pub(super) fn write_segments(
    place: Place<'_>,
    log: FileName,
    entries: &[HistoryEntry],
) -> Result<Vec<Segment>, Error> {
    let of = (log.day, log.first);
    let alerts = Segment::write(place, of, &rows_of::<AlertEvent>(entries))?;
    let environment = Segment::write(place, of, &rows_of::<FleetSnapshot>(entries))?;
    Ok(alerts.into_iter().chain(environment).collect())
}

fn rows_of<R: HistoryRow>(entries: &[HistoryEntry]) -> Vec<R> {
    entries.iter().filter_map(|entry| R::of_entry(entry).cloned()).collect()
}

/// Removes a file; that it is gone already is no failure.
pub(super) fn remove(place: Place<'_>, path: &std::path::Path) -> Result<(), Error> {
    match place.storage.remove(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(HistoryError::Io { path: path.to_owned(), action: "removing it", source }.into())
        }
        _ => Ok(()),
    }
}

pub(super) fn sync_directory(place: Place<'_>) -> Result<(), Error> {
    let synced = place.storage.sync_directory(place.directory);
    let path = || place.directory.to_owned();
    synced.map_err(|source| HistoryError::Io { path: path(), action: "syncing it", source }.into())
}
