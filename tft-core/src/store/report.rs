//! What the store did: at open, at a checkpoint, at the removal of a server.

use std::path::PathBuf;

use super::LoadReport;

/// What was found when a store was opened, and what of it could not be used.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecoveryReport {
    /// What the checkpoint held; none if there is no readable one.
    pub checkpoint: Option<LoadReport>,
    /// Bytes of the checkpoint's file.
    pub checkpoint_bytes: u64,
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
    /// Bytes after the last good frame that were left out: a feed that was being written when the process
    /// ended and that nobody was told of, unless the file was damaged later.
    pub bytes_dropped: u64,
    /// Damaged bytes before a good frame that were passed to reach it. The files that have them are kept, and
    /// moved aside when a checkpoint holds what was read.
    pub bytes_skipped: u64,
    /// Feeds that the log should have and has not; at least so many if the end of a file cannot be read.
    pub feeds_lost: u64,
    /// Segments whose header was damaged, and little enough to be read as that of today's schema.
    pub headers_mended: usize,
    /// Values and states in the log that today's schema does not know or accept, loaded as missing.
    pub values_dropped: u64,
    /// Metrics in the log that today's schema does not know.
    pub unknown_metrics: Vec<String>,
    /// Where feeds are missing, and why; the first [`DAMAGE_MAX`](Self::DAMAGE_MAX) places.
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

/// Feeds that the log should have and has not. After a loss of power they may be such as were not promised yet.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogDamage {
    /// The segment that ends before them, or starts after them.
    pub path: PathBuf,
    /// Where in the file, in bytes, if it is damaged.
    pub at: Option<u64>,
    /// How many bytes are damaged there.
    pub bytes: u64,
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
    /// Files that were set aside and are not searched: they may still name it.
    /// [`Store::discard_set_aside`](super::Store::discard_set_aside) removes them.
    pub set_aside: Vec<PathBuf>,
}

impl RecoveryReport {
    /// Most places of damage that are listed; all are counted.
    pub const DAMAGE_MAX: usize = 64;

    /// Returns in one line which feeds are lost and where; none if none are.
    pub fn loss(&self) -> Option<String> {
        let places = self.damage.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let rest = if self.damage.len() < Self::DAMAGE_MAX { "" } else { "; …" };
        (self.feeds_lost > 0).then(|| format!("{} feeds are lost: {places}{rest}", self.feeds_lost))
    }
}

impl std::fmt::Display for LogDamage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "log `{}`", self.path.display())?;
        if let Some(at) = self.at {
            write!(f, " at byte {at} ({} bytes)", self.bytes)?;
        }
        write!(f, ": {}, feeds {} to {} are lost", self.reason, self.first_missing, self.last_missing)
    }
}
