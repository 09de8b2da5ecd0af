//! When a feed counts as kept, how large the log may become, and when a checkpoint is worth its bytes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(feature = "encryption")]
use super::key::EncryptionKey;
use crate::error::{Error, ErrorKind};

/// When [`Store::commit`](super::Store::commit) returns, and so what an acknowledgement is worth.
///
/// In every mode an acknowledged feed survives the end of the process, however it ends: it is in the
/// operating system's hands then. The modes differ in what a loss of power, or a crash of the operating
/// system, can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum SyncMode {
    /// After a sync: nothing acknowledged is lost. Feeds that wait at the same time share one sync.
    Always,
    /// At once; the caller calls [`Store::sync`](super::Store::sync) at an interval. A loss of power takes at
    /// most what was acknowledged within the last interval and the sync that was under way.
    #[default]
    Interval,
    /// At once; only checkpoints sync. A loss of power takes what was acknowledged since the last checkpoint,
    /// or as much of it as the operating system had not written by itself.
    Never,
}

/// How a [`Store`](super::Store) keeps its files.
///
/// # Defaults
/// [`SyncMode::Interval`]; a log of at most one gibibyte; a checkpoint when the log has half of the bytes of the one
/// before, at least 16 and at most 32 MiB; no encryption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// When a feed counts as kept.
    pub sync: SyncMode,
    /// Most bytes of the log; feeds beyond are refused until a checkpoint is saved. At least
    /// [`StoreConfig::LOG_BYTES_MIN`].
    pub log_bytes_max: u64,
    /// Bytes of log below which a checkpoint waits for its interval, however small the checkpoint before was.
    pub checkpoint_log_bytes_min: u64,
    /// Bytes of log from which on a checkpoint is due, however large the one before was: what the next start has
    /// to replay. At least [`StoreConfig::LOG_BYTES_MIN`].
    pub replay_bytes_max: u64,
    /// What the checkpoint and the log are encrypted with; they are plain if there is none. A key is no part of a
    /// serialised configuration.
    #[cfg(feature = "encryption")]
    #[serde(skip)]
    pub key: Option<EncryptionKey>,
    /// Keys that the files may still be encrypted with. [`Store::open`](super::Store::open) rewrites what is not as
    /// [`key`](Self::key) says, so that they are needed once only.
    #[cfg(feature = "encryption")]
    #[serde(skip)]
    pub previous_keys: Vec<EncryptionKey>,
}

#[derive(Debug, thiserror::Error)]
#[error("store.{key} is {value}, allowed are at least {}", StoreConfig::LOG_BYTES_MIN)]
struct ConfigError {
    key: &'static str,
    value: u64,
}

impl StoreConfig {
    /// The least that [`log_bytes_max`](Self::log_bytes_max) may be: room for the largest header.
    pub const LOG_BYTES_MIN: u64 = 1 << 20;

    pub(super) fn validate(&self) -> Result<(), Error> {
        for (key, value) in
            [("log_bytes_max", self.log_bytes_max), ("replay_bytes_max", self.replay_bytes_max)]
        {
            if value < Self::LOG_BYTES_MIN {
                return Err(Error::new(ErrorKind::InvalidConfig, ConfigError { key, value }));
            }
        }
        Ok(())
    }

    /// Returns from which size of the log on a checkpoint is due after one of `checkpoint_bytes`.
    pub(super) fn log_bytes_due(&self, checkpoint_bytes: u64) -> u64 {
        let worth_it = (checkpoint_bytes / CHECKPOINT_BYTES_PER_LOG_BYTE).max(self.checkpoint_log_bytes_min);
        worth_it.min(self.replay_bytes_max).min(self.log_bytes_max / 2)
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            sync: SyncMode::default(),
            log_bytes_max: 1 << 30,
            checkpoint_log_bytes_min: 16 << 20,
            replay_bytes_max: 32 << 20,
            #[cfg(feature = "encryption")]
            key: None,
            #[cfg(feature = "encryption")]
            previous_keys: Vec::new(),
        }
    }
}

/// Returns how long the writing of a checkpoint is spread over, if time and not the log makes it due.
pub(super) fn rest_after(checkpoint_bytes: u64) -> Duration {
    Duration::from_secs(checkpoint_bytes / CHECKPOINT_BYTES_PER_SECOND)
}

/// What a byte of log may cost in bytes of checkpoint.
const CHECKPOINT_BYTES_PER_LOG_BYTE: u64 = 2;
/// What checkpoints that time makes due may write.
const CHECKPOINT_BYTES_PER_SECOND: u64 = 100_000;

impl SyncMode {
    /// Reads a mode by its name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Always, Self::Interval, Self::Never].into_iter().find(|mode| mode.as_str() == name)
    }

    /// Returns the mode's name: `always`, `interval` or `never`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Interval => "interval",
            Self::Never => "never",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_is_due_when_the_log_has_grown_to_half_of_it_within_bounds() {
        let config = StoreConfig::default();
        let mebibytes = |count: u64| count << 20;
        for (checkpoint, due) in [(0, 16), (32, 16), (60, 30), (64, 32), (4_000, 32)] {
            assert_eq!(config.log_bytes_due(mebibytes(checkpoint)), mebibytes(due), "{checkpoint}");
        }
        let small = StoreConfig { log_bytes_max: mebibytes(4), ..config };
        assert_eq!(small.log_bytes_due(0), mebibytes(2));
    }
}
