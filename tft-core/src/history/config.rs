//! How much history is kept, and how its files are written.

use serde::{Deserialize, Serialize};

use super::error::HistoryError;
use crate::error::Error;
#[cfg(feature = "encryption")]
use crate::store::EncryptionKey;
use crate::store::StoreConfig;

/// How a [`History`](super::History) keeps its files.
///
/// # Defaults
/// 90 days, at most 256 MiB and 200,000 rows per day; a log of at most 8 MiB; no encryption.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct HistoryConfig {
    /// Days after which rows are removed, 1 to [`DAYS_MAX`](Self::DAYS_MAX).
    pub retention_days: u32,
    /// Most bytes of all files; beyond, the oldest days are removed. At least four times
    /// [`log_bytes_max`](Self::log_bytes_max).
    pub bytes_max: u64,
    /// Most rows of one day; those beyond are refused. At least 1.
    pub rows_per_day_max: u64,
    /// Bytes of log from which on its rows become Parquet files before the day is over, 4 KiB to 64 MiB. The rows of
    /// the log are held in memory.
    pub log_bytes_max: u64,
    /// What the files are encrypted with; they are plain if there is none. A key is no part of a serialised
    /// configuration.
    #[cfg(feature = "encryption")]
    #[serde(skip)]
    pub key: Option<EncryptionKey>,
    /// Keys that the files may still be encrypted with.
    #[cfg(feature = "encryption")]
    #[serde(skip)]
    pub previous_keys: Vec<EncryptionKey>,
}

impl HistoryConfig {
    /// The longest retention, a hundred years.
    pub const DAYS_MAX: u32 = 36_525;
    const LOG_BYTES_MIN: u64 = 4 << 10;
    const LOG_BYTES_MAX: u64 = 64 << 20;

    /// Encrypts as a store does.
    #[must_use]
    pub fn with_keys_of(self, store: &StoreConfig) -> Self {
        #[cfg(feature = "encryption")]
        {
            let (key, previous_keys) = (store.key.clone(), store.previous_keys.clone());
            Self { key, previous_keys, ..self }
        }
        #[cfg(not(feature = "encryption"))]
        {
            let _ = store;
            self
        }
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        let log_max = Self::LOG_BYTES_MAX;
        for (key, value, min, max) in [
            ("retention_days", u64::from(self.retention_days), 1, u64::from(Self::DAYS_MAX)),
            ("log_bytes_max", self.log_bytes_max, Self::LOG_BYTES_MIN, log_max),
            ("bytes_max", self.bytes_max, self.log_bytes_max.saturating_mul(4), u64::MAX),
            ("rows_per_day_max", self.rows_per_day_max, 1, u64::MAX),
        ] {
            if !(min..=max).contains(&value) {
                return Err(HistoryError::Config { key, value, min, max }.into());
            }
        }
        Ok(())
    }

    /// Returns the configuration of a store with the same keys.
    #[cfg_attr(not(feature = "encryption"), allow(clippy::unused_self, reason = "there are no keys then"))]
    pub(super) fn keys(&self) -> StoreConfig {
        StoreConfig {
            #[cfg(feature = "encryption")]
            key: self.key.clone(),
            #[cfg(feature = "encryption")]
            previous_keys: self.previous_keys.clone(),
            ..StoreConfig::default()
        }
    }
}

impl Default for HistoryConfig {
    fn default() -> Self {
        Self {
            retention_days: 90,
            bytes_max: 256 << 20,
            rows_per_day_max: 200_000,
            log_bytes_max: 8 << 20,
            #[cfg(feature = "encryption")]
            key: None,
            #[cfg(feature = "encryption")]
            previous_keys: Vec::new(),
        }
    }
}
