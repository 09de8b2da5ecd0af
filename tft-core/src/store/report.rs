//! What the store did: at open, at a checkpoint, at the removal of a server.

use std::path::PathBuf;

use super::LoadReport;

/// What was found when a store was opened, and what of it could not be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// What the checkpoint held; none if there is no readable one.
    pub checkpoint: Option<LoadReport>,
    /// A corrupt checkpoint or segment that was moved aside.
    pub set_aside: Vec<SetAside>,
    /// Segments of the log.
    pub segments: usize,
    /// Frames, which are feeds, that were taken from the log.
    pub frames_replayed: u64,
    /// Frames that the checkpoint held already.
    pub frames_skipped: u64,
    /// Records in the frames replayed, those included that the window refused then as now.
    pub records_replayed: u64,
    /// Bytes after the last good frame that were cut off: a feed that was being written when the process
    /// ended and that nobody was told of, unless the file was damaged later.
    pub bytes_dropped: u64,
    /// Values and states in the log that today's schema does not know or accept, loaded as missing.
    pub values_dropped: u64,
    /// Metrics in the log that today's schema does not know.
    pub unknown_metrics: Vec<String>,
    /// Feeds that the log should have and has not, and why.
    pub damage: Vec<LogDamage>,
    /// Files removed that a crash left half written.
    pub temporary_files_removed: usize,
    /// The checkpoint that was saved at once, because files were not encrypted as the configuration says.
    pub rewritten: Option<CheckpointReport>,
}

/// A file that cannot be used and was kept under another name.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SetAside {
    /// Its new name.
    pub path: PathBuf,
    /// What is wrong with it.
    pub reason: String,
}

/// Feeds that the log should have and has not.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogDamage {
    /// The segment that ends before them, or starts after them.
    pub path: PathBuf,
    /// Where in the file, in bytes, if it is damaged.
    pub at: Option<u64>,
    /// What is wrong there.
    pub reason: &'static str,
    /// The first sequence that is missing.
    pub first_missing: u64,
    /// The last one.
    pub last_missing: u64,
}

/// A saved checkpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckpointReport {
    /// Rows written.
    pub rows: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Steps of all servers.
    pub steps: usize,
    /// The newest feed that it holds.
    pub log_sequence: u64,
    /// Segments removed because the checkpoint holds all of their feeds.
    pub segments_removed: usize,
    /// Segments that could not be removed; the next checkpoint tries again.
    pub segments_left: usize,
}

/// What became of a server that was removed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Removal {
    /// Whether the window had it.
    pub was_known: bool,
    /// Corrupt files that were moved aside earlier and are not searched: they may still name it.
    pub set_aside: Vec<PathBuf>,
}

impl std::fmt::Display for LogDamage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "log `{}`", self.path.display())?;
        if let Some(at) = self.at {
            write!(f, " at byte {at}")?;
        }
        write!(f, ": {}, feeds {} to {} are lost", self.reason, self.first_missing, self.last_missing)
    }
}
