//! Rows by time, place and what they are about, the newest first, a page at a time.

use std::collections::VecDeque;
use std::io;

use super::archive::History;
use super::error::HistoryError;
use super::event::{AlertEvent, EventKind};
use super::row::HistoryRow;
use super::segment::Segment;
use super::snapshot::FleetSnapshot;
use crate::alert::Severity;
use crate::error::Error;
use crate::store::set_file_aside;
use crate::time::Timestamp;

/// Which rows are asked for.
///
/// # Defaults
/// The newest 100 of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// The earliest time.
    pub from: Option<Timestamp>,
    /// The time before which they must be.
    pub to: Option<Timestamp>,
    /// The place in the history before which they must be: [`Page::next`] of the page before.
    pub before: Option<u64>,
    /// Most rows of the page, 1 to [`LIMIT_MAX`](Self::LIMIT_MAX).
    pub limit: usize,
    /// Only events of this server.
    pub server: Option<String>,
    /// Only events of alerts of this severity.
    pub severity: Option<Severity>,
    /// Only events of this rule.
    pub rule: Option<String>,
    /// Only events of this kind.
    pub kind: Option<EventKind>,
    /// Only events of the alerts with this fingerprint.
    pub fingerprint: Option<String>,
}

/// Rows, the newest first.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Page<R> {
    /// The rows.
    pub rows: Vec<R>,
    /// Where the next page begins; none if this is the last one.
    pub next: Option<u64>,
}

impl Query {
    /// Most rows of a page.
    pub const LIMIT_MAX: usize = 10_000;

    fn has_place(&self, sequence: u64, at: Timestamp) -> bool {
        self.before.is_none_or(|before| sequence < before)
            && self.from.is_none_or(|from| at >= from)
            && self.to.is_none_or(|to| at < to)
    }

    fn may_have(&self, segment: &Segment) -> bool {
        self.before.is_none_or(|before| *segment.sequences.start() < before)
            && self.from.is_none_or(|from| *segment.times.end() >= from)
            && self.to.is_none_or(|to| *segment.times.start() < to)
    }

    fn asks_for<R: HistoryRow>(&self, row: &R) -> bool {
        self.has_place(row.sequence(), row.at()) && row.is_asked_for(self)
    }
}

impl Default for Query {
    fn default() -> Self {
        Self {
            from: None,
            to: None,
            before: None,
            limit: 100,
            server: None,
            severity: None,
            rule: None,
            kind: None,
            fingerprint: None,
        }
    }
}

impl History {
    /// Returns events, the newest first.
    ///
    /// # Performance
    /// Reads one file at a time, and only those whose times and places overlap; memory is that of a page and a file.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the limit is not allowed;
    /// [`Io`](crate::ErrorKind::Io) if a file cannot be read. One that is corrupt is moved aside and counted, and the
    /// others are read.
    pub fn alerts(&self, query: &Query) -> Result<Page<AlertEvent>, Error> {
        self.page(query)
    }

    /// Returns snapshots of the fleet, the newest first; only time and place of the query count.
    ///
    /// # Errors
    /// As [`alerts`](Self::alerts).
    pub fn snapshots(&self, query: &Query) -> Result<Page<FleetSnapshot>, Error> {
        self.page(query)
    }

    /// Returns rows of a table, the newest first.
    ///
    /// # Errors
    /// As [`alerts`](Self::alerts).
    pub fn page<R: HistoryRow>(&self, query: &Query) -> Result<Page<R>, Error> {
        let limit = query.limit;
        if !(1..=Query::LIMIT_MAX).contains(&limit) {
            return Err(HistoryError::QueryLimit { limit }.into());
        }
        // One more than the page has tells whether there is another.
        let most = limit + 1;
        let (mut rows, mut segments) = {
            let held = self.lock();
            let newest = held.log.entries.iter().rev().filter_map(|entry| R::of_entry(entry));
            let rows: Vec<R> = newest.filter(|row| query.asks_for(*row)).take(most).cloned().collect();
            let segments = held.segments.values().filter(|segment| segment.name.table == Some(R::TABLE));
            (rows, segments.filter(|segment| query.may_have(segment)).cloned().collect::<Vec<_>>())
        };
        segments.sort_unstable_by_key(|segment| std::cmp::Reverse(segment.name));
        for segment in &segments {
            if rows.len() >= most {
                break;
            }
            let missing = most - rows.len();
            let mut found = VecDeque::new();
            self.visit_segment(segment, None, |row: R| {
                if query.asks_for(&row) {
                    if found.len() == missing {
                        found.pop_front();
                    }
                    found.push_back(row);
                }
            })?;
            rows.extend(found.into_iter().rev());
        }
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows.last().filter(|_| has_more).map(R::sequence);
        Ok(Page { rows, next })
    }

    /// Shows every row of a table within times, the oldest first, some columns of it at least.
    pub(super) fn visit_rows<R: HistoryRow>(
        &self,
        (from, to): (Option<Timestamp>, Option<Timestamp>),
        columns: &[&str],
        mut visit: impl FnMut(R),
    ) -> Result<(), Error> {
        let query = Query { from, to, ..Query::default() };
        let (segments, in_log) = {
            let held = self.lock();
            let segments = held.segments.values().filter(|segment| segment.name.table == Some(R::TABLE));
            let segments: Vec<_> = segments.filter(|segment| query.may_have(segment)).cloned().collect();
            let in_log = held.log.entries.iter().filter_map(|entry| R::of_entry(entry));
            let in_log = in_log.filter(|row| query.has_place(row.sequence(), row.at()));
            (segments, in_log.cloned().collect::<Vec<R>>())
        };
        for segment in &segments {
            self.visit_segment(segment, Some(columns), |row: R| {
                if query.has_place(row.sequence(), row.at()) {
                    visit(row);
                }
            })?;
        }
        in_log.into_iter().for_each(visit);
        Ok(())
    }

    /// Shows the rows of a file; one that is gone has none, and one that is corrupt is moved aside.
    fn visit_segment<R: HistoryRow>(
        &self,
        segment: &Segment,
        columns: Option<&[&str]>,
        visit: impl FnMut(R),
    ) -> Result<(), Error> {
        match segment.visit(self.place(), columns, visit) {
            Err(error) if error.is_corrupt() => self.set_aside(segment),
            // It was removed since: it was too old, or everything in it was of a server that was removed.
            Err(error) if is_not_found(&error) && !self.lock().segments.contains_key(&segment.name) => Ok(()),
            visited => visited,
        }
    }

    /// Moves a file aside that turned out to be corrupt; rows of it that were read before that count.
    fn set_aside(&self, segment: &Segment) -> Result<(), Error> {
        let mut held = self.lock();
        if held.segments.contains_key(&segment.name) {
            set_file_aside(self.place().storage, &segment.path, *segment.times.end())?;
            held.segments.remove(&segment.name);
            held.files_set_aside += 1;
        }
        Ok(())
    }
}

fn is_not_found(error: &Error) -> bool {
    let source = std::error::Error::source(error);
    let source = source.and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::NotFound)
}
