//! When a feed counts as kept, and how large the log may become.

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
/// [`SyncMode::Interval`]; a log of at most one gibibyte; no encryption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StoreConfig {
    /// When a feed counts as kept.
    pub sync: SyncMode,
    /// Most bytes of the log; feeds beyond are refused until a checkpoint is saved. At least
    /// [`StoreConfig::LOG_BYTES_MIN`].
    pub log_bytes_max: u64,
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
#[error("store.log_bytes_max is {value}, allowed are at least {}", StoreConfig::LOG_BYTES_MIN)]
struct ConfigError {
    value: u64,
}

impl StoreConfig {
    /// The least that [`log_bytes_max`](Self::log_bytes_max) may be: room for the largest header.
    pub const LOG_BYTES_MIN: u64 = 1 << 20;

    pub(super) fn validate(&self) -> Result<(), Error> {
        let value = self.log_bytes_max;
        if value < Self::LOG_BYTES_MIN {
            return Err(Error::new(ErrorKind::InvalidConfig, ConfigError { value }));
        }
        Ok(())
    }
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            sync: SyncMode::default(),
            log_bytes_max: 1 << 30,
            #[cfg(feature = "encryption")]
            key: None,
            #[cfg(feature = "encryption")]
            previous_keys: Vec::new(),
        }
    }
}

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
