//! What an open finds: every file is read once, damage is moved aside, and what a crash interrupted is finished.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::LOG_NAME;
use super::entry::HistoryEntry;
use super::error::HistoryError;
use super::event::AlertEvent;
use super::file_name::{FileName, day_of, is_set_aside, is_temporary};
use super::held::{Held, Log, remove, sync_directory, write_segments};
use super::report::HistoryRecovery;
use super::row::{HistoryRow, Table};
use super::segment::{Place, Segment};
use super::snapshot::FleetSnapshot;
use crate::error::Error;
use crate::store::{Found, Journal, Replay, SetAside, set_file_aside};
use crate::time::Timestamp;

/// What lies in the directory.
struct Listing {
    logs: Vec<FileName>,
    segments: Vec<FileName>,
    temporary: Vec<String>,
    set_aside: u64,
}

/// What a file was found to be, before anything is changed.
struct Findings {
    logs: BTreeMap<FileName, Found>,
    segments: BTreeMap<FileName, Segment>,
    /// Files that are not encrypted as they would be now.
    outdated: BTreeSet<FileName>,
    corrupt: Vec<(FileName, String)>,
}

pub(super) fn recover(place: Place<'_>, now: Timestamp) -> Result<(Held, HistoryRecovery), Error> {
    let listing = list(place)?;
    let findings = read(place, &listing)?;
    let mut report = HistoryRecovery::default();
    for name in &listing.temporary {
        remove(place, &place.directory.join(name))?;
    }
    report.temporary_files_removed = listing.temporary.len();
    for (name, reason) in findings.corrupt {
        set_aside(place, name, reason, now, &mut report)?;
    }
    let mut recovery =
        Recovery { place, now, report, segments: findings.segments, outdated: findings.outdated };
    let log = recovery.replay(findings.logs)?;
    recovery.rewrite_outdated()?;
    sync_directory(place)?;
    let Recovery { mut report, segments, .. } = recovery;
    report.segments = segments.len();
    report.rows = segments.values().map(|segment| segment.rows).sum::<u64>() + log.entries.len() as u64;
    let files_set_aside = listing.set_aside + report.set_aside.len() as u64;
    let held =
        Held { log, segments, superfluous: Vec::new(), rows_refused: 0, rows_expired: 0, files_set_aside };
    Ok((held, report))
}

struct Recovery<'p> {
    place: Place<'p>,
    now: Timestamp,
    report: HistoryRecovery,
    segments: BTreeMap<FileName, Segment>,
    outdated: BTreeSet<FileName>,
}

impl Recovery<'_> {
    /// Turns every log but one that can be gone on with into Parquet files; returns the log to append to.
    fn replay(&mut self, logs: BTreeMap<FileName, Found>) -> Result<Log, Error> {
        let firsts: Vec<_> = logs.keys().map(|name| name.first).collect();
        let last = logs.keys().next_back().copied();
        let newest = self.segments.values().map(|segment| segment.sequences.end() + 1).max();
        let mut next = newest.into_iter().chain(firsts.last().copied()).max().unwrap_or(1);
        for (index, (name, found)) in logs.into_iter().enumerate() {
            let replay = match found {
                Found::Journal(replay) => replay,
                Found::Unfinished => {
                    remove(self.place, &name.path(self.place.directory))?;
                    self.report.temporary_files_removed += 1;
                    continue;
                }
                Found::Damaged(reason) => {
                    set_aside(self.place, name, reason.to_owned(), self.now, &mut self.report)?;
                    continue;
                }
            };
            // A log counts up to where the next one begins: what follows was promised to nobody.
            let end = firsts.get(index + 1).copied().unwrap_or(u64::MAX);
            self.report.bytes_dropped += replay.bytes_dropped;
            let entries = self.entries(&replay, name.first, end);
            next = next.max(entries.last().map_or(name.first, |entry| entry.sequence() + 1));
            let has_segments =
                Table::ALL.into_iter().any(|table| self.segments.contains_key(&of(name, table)));
            let can_go_on = Some(name) == last && replay.is_current && !replay.is_damaged && !has_segments;
            if can_go_on {
                let path = name.path(self.place.directory);
                let journal = Journal::resume(self.place.storage, &path, name.first, replay)?;
                return Ok(Log { journal, name, entries });
            }
            self.finish(name, &replay, entries)?;
        }
        Log::create(self.place, day_of(self.now), next)
    }

    /// Returns the rows of a log, and counts what it lacks.
    fn entries(&mut self, replay: &Replay, first: u64, end: u64) -> Vec<HistoryEntry> {
        let frames = replay.frames.iter().filter(|(sequence, _)| (first..end).contains(sequence));
        let decoded = frames.map(|(sequence, content)| (*sequence, HistoryEntry::decode(*sequence, content)));
        let (mut entries, mut expected) = (Vec::new(), first);
        for (sequence, entry) in decoded {
            self.report.rows_lost += sequence - expected + u64::from(entry.is_none());
            expected = sequence + 1;
            entries.extend(entry);
        }
        if end != u64::MAX {
            self.report.rows_lost += end - expected;
        }
        self.report.rows_replayed += entries.len() as u64;
        entries
    }

    /// Turns a log into Parquet files, together with what such files have of it already, and removes it.
    fn finish(&mut self, name: FileName, replay: &Replay, entries: Vec<HistoryEntry>) -> Result<(), Error> {
        let mut rows: BTreeMap<_, _> = entries.into_iter().map(|entry| (entry.sequence(), entry)).collect();
        let from_log = rows.len();
        self.add_rows::<AlertEvent>(name, &mut rows)?;
        self.add_rows::<FleetSnapshot>(name, &mut rows)?;
        // What the log lost and a Parquet file has is not lost.
        let saved = (rows.len() - from_log) as u64;
        self.report.rows_lost = self.report.rows_lost.saturating_sub(saved);
        let rows: Vec<_> = rows.into_values().collect();
        for segment in write_segments(self.place, name, &rows)? {
            self.outdated.remove(&segment.name);
            self.segments.insert(segment.name, segment);
        }
        if replay.is_damaged {
            let reason = format!("{} damaged bytes lie between its rows", replay.bytes_skipped);
            return set_aside(self.place, name, reason, self.now, &mut self.report);
        }
        remove(self.place, &name.path(self.place.directory))
    }

    fn add_rows<R: HistoryRow + Into<HistoryEntry>>(
        &mut self,
        log: FileName,
        rows: &mut BTreeMap<u64, HistoryEntry>,
    ) -> Result<(), Error> {
        let Some(segment) = self.segments.get(&of(log, R::TABLE)) else { return Ok(()) };
        match segment.rows::<R>(self.place) {
            Ok(found) => {
                for row in found {
                    rows.entry(row.sequence()).or_insert_with(|| row.into());
                }
                Ok(())
            }
            Err(error) if error.is_corrupt() => {
                let name = segment.name;
                self.segments.remove(&name);
                set_aside(self.place, name, error.to_string(), self.now, &mut self.report)
            }
            Err(error) => Err(error),
        }
    }

    /// Writes files again that are not encrypted as the configuration says.
    fn rewrite_outdated(&mut self) -> Result<(), Error> {
        for name in std::mem::take(&mut self.outdated) {
            match name.table {
                Some(Table::Alerts) => self.rewrite::<AlertEvent>(name)?,
                Some(Table::Environment) => self.rewrite::<FleetSnapshot>(name)?,
                None => {}
            }
        }
        Ok(())
    }

    fn rewrite<R: HistoryRow>(&mut self, name: FileName) -> Result<(), Error> {
        let Some(segment) = self.segments.get(&name) else { return Ok(()) };
        match segment.rows::<R>(self.place) {
            Ok(rows) => {
                let written = Segment::write(self.place, (name.day, name.first), &rows)?;
                self.segments.extend(written.map(|segment| (name, segment)));
                self.report.rewritten += 1;
                Ok(())
            }
            Err(error) if error.is_corrupt() => {
                self.segments.remove(&name);
                set_aside(self.place, name, error.to_string(), self.now, &mut self.report)
            }
            Err(error) => Err(error),
        }
    }
}

fn list(place: Place<'_>) -> Result<Listing, Error> {
    let listed = place.storage.list(place.directory);
    let path = || place.directory.to_owned();
    let names = listed.map_err(|source| HistoryError::Io { path: path(), action: "listing it", source })?;
    let mut listing = Listing { logs: Vec::new(), segments: Vec::new(), temporary: Vec::new(), set_aside: 0 };
    for name in names {
        match FileName::parse(&name) {
            Some(file @ FileName { table: None, .. }) => listing.logs.push(file),
            Some(file) => listing.segments.push(file),
            None if is_temporary(&name) => listing.temporary.push(name),
            None => listing.set_aside += u64::from(is_set_aside(&name)),
        }
    }
    Ok(listing)
}

/// Reads every file, so that one which needs another key or a newer program is found before anything is changed.
fn read(place: Place<'_>, listing: &Listing) -> Result<Findings, Error> {
    let (logs, segments) = (BTreeMap::new(), BTreeMap::new());
    let mut findings = Findings { logs, segments, outdated: BTreeSet::new(), corrupt: Vec::new() };
    for &name in &listing.segments {
        match Segment::open(place, name) {
            Ok((segment, file)) => {
                if !file.is_current() {
                    findings.outdated.insert(name);
                }
                findings.segments.insert(name, segment);
            }
            Err(error) if error.is_corrupt() => findings.corrupt.push((name, error.to_string())),
            Err(error) => return Err(error),
        }
    }
    for &name in &listing.logs {
        let path = name.path(place.directory);
        let found = Journal::read(place.storage, &path, (LOG_NAME, name.first), place.keyring)?;
        findings.logs.insert(name, found);
    }
    Ok(findings)
}

fn set_aside(
    place: Place<'_>,
    name: FileName,
    reason: String,
    now: Timestamp,
    report: &mut HistoryRecovery,
) -> Result<(), Error> {
    let path = set_file_aside(place.storage, &name.path(place.directory), now)?;
    report.set_aside.push(SetAside { path, reason });
    Ok(())
}

/// Returns the name of the Parquet file that a log becomes.
fn of(log: FileName, table: Table) -> FileName {
    FileName { table: Some(table), ..log }
}

/// Returns the files that were set aside.
pub(super) fn set_aside_files(place: Place<'_>) -> Result<Vec<PathBuf>, Error> {
    let listed = place.storage.list(place.directory);
    let path = || place.directory.to_owned();
    let names = listed.map_err(|source| HistoryError::Io { path: path(), action: "listing it", source })?;
    let mut files: Vec<_> =
        names.iter().filter(|name| is_set_aside(name)).map(|name| place.directory.join(name)).collect();
    files.sort_unstable();
    Ok(files)
}

/// Removes files that were being written; only for who has the directory for himself.
pub(super) fn sweep(place: Place<'_>) -> Result<(), Error> {
    for name in list(place)?.temporary {
        remove(place, &place.directory.join(name))?;
    }
    Ok(())
}
