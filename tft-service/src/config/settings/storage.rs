//! What is kept, where, and with which model the service forecasts.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use tft_core::store::SyncMode;

use super::values::{number, refused, set};
use crate::config::{Config, ConfigError, encryption};

/// `[storage]`: the model, the checkpoint and its log.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct StorageSettings {
    /// Directory of the model [default: the built-in model]
    #[arg(long = "model", env = "TFT_MODEL_DIR", value_name = "DIR")]
    pub model_dir: Option<String>,
    /// Directory of model directories that `POST /admin/reload-model` may change to [default: none]
    #[arg(long, env = "TFT_MODELS_DIR", value_name = "DIR")]
    pub models_dir: Option<String>,
    /// Checkpoint of the rolling window; where there is none, the original system's pickle beside it is taken over
    /// [default: `inference_rolling_window.parquet`]
    #[arg(long, env = "PERSISTENCE_FILE", value_name = "FILE")]
    pub persistence_file: Option<String>,
    /// Days after which steps are forgotten, and servers that have no newer ones [default: as long as there is room]
    #[arg(long, env = "RETENTION_DAYS", value_name = "DAYS")]
    pub retention_days: Option<String>,
    /// When the log is synced: `always` before a reply, at an `interval`, or `never` [default: interval]
    #[arg(long, env = "TFT_SYNC", value_name = "MODE")]
    pub sync: Option<String>,
    /// Milliseconds between syncs of the log in mode `interval` [default: 200]
    #[arg(long, env = "TFT_SYNC_INTERVAL_MS", value_name = "MS")]
    pub sync_interval_ms: Option<String>,
    /// Milliseconds between checkpoints of a window that changed; sooner if the log grows fast [default: 900000]
    #[arg(long, env = "TFT_CHECKPOINT_INTERVAL_MS", value_name = "MS")]
    pub checkpoint_interval_ms: Option<String>,
    /// File with the key that the checkpoint and its log are encrypted with: 32 bytes, or 64 hexadecimal characters;
    /// only in builds with the feature `encryption` [default: not encrypted]
    #[arg(long, env = "TFT_ENCRYPTION_KEY_FILE", value_name = "FILE")]
    pub encryption_key_file: Option<String>,
    /// File with the key before that one, for the first start with a new key
    #[arg(long, env = "TFT_ENCRYPTION_PREVIOUS_KEY_FILE", value_name = "FILE")]
    pub encryption_previous_key_file: Option<String>,
}

impl StorageSettings {
    /// Checks what is given and sets it.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<(), ConfigError> {
        set(&mut config.model_dir, self.model_dir.as_deref(), |text| Ok(Some(text.into())))?;
        set(&mut config.models_dir, self.models_dir.as_deref(), |text| Ok(Some(text.into())))?;
        set(&mut config.persistence_file, self.persistence_file.as_deref(), |text| Ok(Some(text.into())))?;
        set(&mut config.retention, self.retention_days.as_deref(), |text| parse_retention(text).map(Some))?;
        set(&mut config.store.sync, self.sync.as_deref(), parse_sync)?;
        set(&mut config.intervals.sync, self.sync_interval_ms.as_deref(), parse_sync_interval)?;
        let interval = self.checkpoint_interval_ms.as_deref();
        set(&mut config.intervals.checkpoint, interval, parse_checkpoint_interval)?;
        let (key, previous_key) = (&self.encryption_key_file, &self.encryption_previous_key_file);
        encryption::set_keys(&mut config.store, key.as_deref(), previous_key.as_deref())
    }
}

fn parse_retention(text: &str) -> Result<Duration, ConfigError> {
    let reason = "is not a number of days, 1 to 36525";
    number("RETENTION_DAYS", text, 1..=RETENTION_DAYS_MAX, reason).map(|days| Duration::from_hours(24 * days))
}

fn parse_sync(text: &str) -> Result<SyncMode, ConfigError> {
    let reason = "is not `always`, `interval` or `never`";
    SyncMode::parse(text).ok_or_else(|| refused("TFT_SYNC", text, reason))
}

fn parse_sync_interval(text: &str) -> Result<Duration, ConfigError> {
    let reason = "is not a number of milliseconds, 1 to 60000";
    number("TFT_SYNC_INTERVAL_MS", text, 1..=SYNC_INTERVAL_MS_MAX, reason).map(Duration::from_millis)
}

fn parse_checkpoint_interval(text: &str) -> Result<Duration, ConfigError> {
    let reason = "is not a number of milliseconds, 1 to 86400000";
    number("TFT_CHECKPOINT_INTERVAL_MS", text, 1..=CHECKPOINT_INTERVAL_MS_MAX, reason)
        .map(Duration::from_millis)
}

/// A day.
const CHECKPOINT_INTERVAL_MS_MAX: u64 = 86_400_000;

/// A hundred years.
const RETENTION_DAYS_MAX: u64 = 36_525;

/// Beyond a minute a checkpoint comes first.
const SYNC_INTERVAL_MS_MAX: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_setting_and_the_value() {
        let refused = |settings: StorageSettings| settings.apply(&mut Config::default()).unwrap_err();
        let some = |text: &str| Some(text.to_owned());
        insta::assert_snapshot!(refused(StorageSettings { retention_days: some("0"), ..Default::default() }), @"RETENTION_DAYS `0` is not a number of days, 1 to 36525");
        insta::assert_snapshot!(refused(StorageSettings { sync: some("often"), ..Default::default() }), @"TFT_SYNC `often` is not `always`, `interval` or `never`");
        insta::assert_snapshot!(refused(StorageSettings { sync_interval_ms: some("0"), ..Default::default() }), @"TFT_SYNC_INTERVAL_MS `0` is not a number of milliseconds, 1 to 60000");
        insta::assert_snapshot!(refused(StorageSettings { checkpoint_interval_ms: some("1m"), ..Default::default() }), @"TFT_CHECKPOINT_INTERVAL_MS `1m` is not a number of milliseconds, 1 to 86400000");
    }
}
