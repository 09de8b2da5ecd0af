//! Whether and where the history is kept.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tft_core::history::HistoryConfig;

/// Whether and where the history is kept, and how often the fleet is looked at for it.
///
/// # Defaults
/// Beside the checkpoint, a snapshot of the fleet per minute, and otherwise those of [`HistoryConfig`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HistoryKeeping {
    /// The directory.
    pub place: HistoryPlace,
    /// How much is kept. Its keys are not used: those of the store take their place.
    pub bounds: HistoryConfig,
    /// Between two snapshots of the fleet, at least.
    pub snapshot_interval: Duration,
}

/// The directory of the history.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum HistoryPlace {
    /// Beside the checkpoint, named like it with `.history` in place of its extension; nowhere without a checkpoint.
    #[default]
    BesideCheckpoint,
    /// None: no history is kept.
    Nowhere,
    /// This one.
    Directory(PathBuf),
}

impl HistoryPlace {
    /// Returns the directory for a checkpoint.
    pub(crate) fn directory(&self, checkpoint: Option<&Path>) -> Option<PathBuf> {
        match self {
            Self::BesideCheckpoint => Some(checkpoint?.with_extension("history")),
            Self::Nowhere => None,
            Self::Directory(path) => Some(path.clone()),
        }
    }
}

impl Default for HistoryKeeping {
    fn default() -> Self {
        Self {
            place: HistoryPlace::default(),
            bounds: HistoryConfig::default(),
            snapshot_interval: Duration::from_mins(1),
        }
    }
}
