//! The history: where, for how long, and how often the fleet is looked at.

use serde::{Deserialize, Serialize};

use super::values::{number, seconds, set};
use crate::config::{Config, ConfigError, HistoryPlace};

/// `[history]`: what happened to alerts, and how the fleet was.
#[derive(Debug, Clone, Default, clap::Args, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HistorySettings {
    /// Directory of the history, or `none` [default: beside the checkpoint, named like it with `.history`]
    #[arg(long, env = "TFT_HISTORY_DIR", value_name = "DIR")]
    pub history_dir: Option<String>,
    /// Days after which history is removed [default: 90]
    #[arg(long, env = "TFT_HISTORY_RETENTION_DAYS", value_name = "DAYS")]
    pub history_retention_days: Option<String>,
    /// Most megabytes (2^20 bytes) of history; beyond, the oldest days are removed [default: 256]
    #[arg(long, env = "TFT_HISTORY_MB_MAX", value_name = "MB")]
    pub history_mb_max: Option<String>,
    /// Seconds between two snapshots of the fleet, at least [default: 60]
    #[arg(long, env = "TFT_HISTORY_SNAPSHOT_S", value_name = "S")]
    pub history_snapshot_s: Option<String>,
}

impl HistorySettings {
    /// Checks what is given and sets it.
    pub(crate) fn apply(&self, config: &mut Config) -> Result<(), ConfigError> {
        let history = &mut config.history;
        set(&mut history.place, self.history_dir.as_deref(), |text| {
            Ok(if text == "none" { HistoryPlace::Nowhere } else { HistoryPlace::Directory(text.into()) })
        })?;
        set(&mut history.bounds.retention_days, self.history_retention_days.as_deref(), |text| {
            let reason = "is not a number of days, 1 to 36525";
            number("TFT_HISTORY_RETENTION_DAYS", text, 1..=36_525, reason)
        })?;
        set(&mut history.bounds.bytes_max, self.history_mb_max.as_deref(), |text| {
            let reason = "is not a number of megabytes, 32 to 1048576";
            number("TFT_HISTORY_MB_MAX", text, 32..=1_048_576, reason).map(|megabytes: u64| megabytes << 20)
        })?;
        set(&mut history.snapshot_interval, self.history_snapshot_s.as_deref(), |text| {
            seconds("TFT_HISTORY_SNAPSHOT_S", text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_setting_and_the_value() {
        let refused = |settings: HistorySettings| settings.apply(&mut Config::default()).unwrap_err();
        let some = |text: &str| Some(text.to_owned());
        insta::assert_snapshot!(refused(HistorySettings { history_retention_days: some("0"), ..Default::default() }), @"TFT_HISTORY_RETENTION_DAYS `0` is not a number of days, 1 to 36525");
        insta::assert_snapshot!(refused(HistorySettings { history_mb_max: some("1"), ..Default::default() }), @"TFT_HISTORY_MB_MAX `1` is not a number of megabytes, 32 to 1048576");
        insta::assert_snapshot!(refused(HistorySettings { history_snapshot_s: some("x"), ..Default::default() }), @"TFT_HISTORY_SNAPSHOT_S `x` is not a number of seconds, 1 to 86400");
    }

    #[test]
    fn the_directory_is_given_beside_the_checkpoint_or_none() {
        let place = |text: Option<&str>| {
            let mut config = Config::default();
            let settings = HistorySettings { history_dir: text.map(str::to_owned), ..Default::default() };
            settings.apply(&mut config).unwrap();
            config.history.place.directory(config.persistence_file.as_deref())
        };
        assert_eq!(place(None), Some("inference_rolling_window.history".into()));
        assert_eq!(place(Some("/srv/history")), Some("/srv/history".into()));
        assert_eq!(place(Some("none")), None);
    }
}
