//! What the history did: at open, when it was looked after, when a server was removed, and in all.

use std::path::PathBuf;

use crate::store::SetAside;
use crate::time::Timestamp;

/// What was found when a history was opened, and what of it could not be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryRecovery {
    /// Parquet files that are there now.
    pub segments: usize,
    /// Rows in all files.
    pub rows: u64,
    /// Rows of them that were read from logs.
    pub rows_replayed: u64,
    /// Rows that a log should have and has not.
    pub rows_lost: u64,
    /// Bytes after the last good row of a log: rows that nobody was promised, unless the file was damaged later.
    pub bytes_dropped: u64,
    /// Corrupt files that were moved aside.
    pub set_aside: Vec<SetAside>,
    /// Files removed that a crash left half written.
    pub temporary_files_removed: usize,
    /// Files rewritten because they were not encrypted as the configuration says.
    pub rewritten: usize,
}

/// What became of rows that were to be appended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// The first one's place in the history.
    pub first_sequence: u64,
    /// How many were appended.
    pub count: usize,
    /// How many were refused, because the day has as many as it may have.
    pub refused: usize,
}

/// What was removed because it was too old or too much.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Expiry {
    /// Parquet files removed because they were older than the retention.
    pub segments_too_old: usize,
    /// Parquet files removed because there were too many bytes.
    pub segments_too_many: usize,
    /// Rows in them.
    pub rows: u64,
}

/// What became of a server's rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryRemoval {
    /// Rows about the server, which were removed.
    pub rows_removed: u64,
    /// Rows about others that named it, and do so no more.
    pub rows_changed: u64,
    /// Files that were set aside and are not searched: they may still name it.
    pub set_aside: Vec<PathBuf>,
}

/// The history in figures.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryStats {
    /// Rows of all tables.
    pub rows: u64,
    /// Bytes of all files that are read.
    pub bytes: u64,
    /// Parquet files.
    pub segments: usize,
    /// The time of the oldest row, if there is any.
    pub oldest: Option<Timestamp>,
    /// Rows refused since it was opened, because their day had as many as it may have.
    pub rows_refused: u64,
    /// Rows removed since it was opened, because they were too old or too many.
    pub rows_expired: u64,
    /// Files moved aside since it was opened, and at that time.
    pub files_set_aside: u64,
}
