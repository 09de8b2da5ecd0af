//! How much a window keeps, and what it accepts.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};
use crate::time::StepLength;

/// How much a [`RollingWindow`](super::RollingWindow) keeps, and what it accepts.
///
/// # Defaults
/// Five-minute steps, 576 steps (two days) of each of at most 10,000 servers, one step of grace, gaps of
/// up to 12 steps filled, at most 1,024 samples in a step and 10,000 records in a batch, no retention by the clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WindowConfig {
    /// The length of a step, in milliseconds in files; that of the model.
    pub step: StepLength,
    /// Steps kept per server; more than `grace_steps`, at most [`WindowConfig::STEPS_MAX`].
    pub steps_per_server: usize,
    /// Most servers kept; 1 to [`WindowConfig::SERVERS_MAX`].
    pub servers_max: usize,
    /// How many steps before a server's newest one still take samples; at most
    /// [`WindowConfig::GRACE_STEPS_MAX`].
    pub grace_steps: usize,
    /// By how many milliseconds a timestamp may lie after the caller's clock; 0 to one day.
    pub future_tolerance_ms: i64,
    /// The longest gap, in steps, that is filled with the value before it.
    pub gap_fill_steps_max: usize,
    /// Most samples with different timestamps in one step of one server; 1 to
    /// [`WindowConfig::SAMPLES_PER_STEP_MAX`].
    pub samples_per_step_max: usize,
    /// Most records in one batch; 1 to [`WindowConfig::RECORDS_MAX`].
    pub records_max: usize,
    /// For how many milliseconds of the caller's clock a step is kept after its end, at least one step; none keeps
    /// it as long as there is room. See [`RollingWindow::expire`](super::RollingWindow::expire).
    pub retention_ms: Option<i64>,
}

#[derive(Debug, thiserror::Error)]
#[error("window.{key} is {value}, allowed are {min} to {max}")]
struct ConfigError {
    key: &'static str,
    value: i64,
    min: i64,
    max: i64,
}

impl WindowConfig {
    /// Most steps that can be kept per server: at five minutes, more than nine years.
    pub const STEPS_MAX: usize = 1_000_000;
    /// Most servers that one window can keep.
    pub const SERVERS_MAX: usize = 1_000_000;
    /// Most steps of grace.
    pub const GRACE_STEPS_MAX: usize = 1_000;
    /// Most samples of one step.
    pub const SAMPLES_PER_STEP_MAX: usize = 65_536;
    /// Most records of one batch.
    pub const RECORDS_MAX: usize = 1_000_000;
    /// The longest retention: a hundred years.
    pub const RETENTION_MS_MAX: i64 = 36_525 * StepLength::DAY_MS;

    /// Returns the defaults with room for `history_steps` five-minute steps and one day more, so that a
    /// model which reads that much history can also be evaluated over a day.
    pub fn for_history(history_steps: usize) -> Self {
        let steps_per_server = history_steps.saturating_add(StepLength::FIVE_MINUTES.steps_per_day());
        Self { steps_per_server, ..Self::default() }
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        check("grace_steps", self.grace_steps, 0, Self::GRACE_STEPS_MAX)?;
        check("steps_per_server", self.steps_per_server, self.grace_steps + 1, Self::STEPS_MAX)?;
        check("servers_max", self.servers_max, 1, Self::SERVERS_MAX)?;
        check("gap_fill_steps_max", self.gap_fill_steps_max, 0, self.steps_per_server)?;
        check("samples_per_step_max", self.samples_per_step_max, 1, Self::SAMPLES_PER_STEP_MAX)?;
        check("records_max", self.records_max, 1, Self::RECORDS_MAX)?;
        let retention_ms = self.retention_ms.unwrap_or(Self::RETENTION_MS_MAX);
        check_number("retention_ms", retention_ms, self.step.as_millis(), Self::RETENTION_MS_MAX)?;
        check_number("future_tolerance_ms", self.future_tolerance_ms, 0, StepLength::DAY_MS)
    }
}

impl Default for WindowConfig {
    fn default() -> Self {
        Self {
            step: StepLength::FIVE_MINUTES,
            steps_per_server: 576,
            servers_max: 10_000,
            grace_steps: 1,
            future_tolerance_ms: 300_000,
            gap_fill_steps_max: 12,
            samples_per_step_max: 1_024,
            records_max: 10_000,
            retention_ms: None,
        }
    }
}

fn check(key: &'static str, value: usize, min: usize, max: usize) -> Result<(), Error> {
    check_number(key, i64::try_from(value).unwrap_or(i64::MAX), min as i64, max as i64)
}

fn check_number(key: &'static str, value: i64, min: i64, max: i64) -> Result<(), Error> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidConfig, ConfigError { key, value, min, max }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_survives_json() {
        let config = WindowConfig::default();
        config.validate().unwrap();
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<WindowConfig>(&text).unwrap(), config);
        assert_eq!(WindowConfig::for_history(288), config);
    }

    #[test]
    fn what_is_out_of_range_is_named() {
        let message = |config: WindowConfig| config.validate().unwrap_err().to_string();
        let config = WindowConfig { grace_steps: 3, steps_per_server: 3, ..Default::default() };
        insta::assert_snapshot!(message(config), @"window.steps_per_server is 3, allowed are 4 to 1000000");
        let config = WindowConfig { servers_max: 0, ..Default::default() };
        insta::assert_snapshot!(message(config), @"window.servers_max is 0, allowed are 1 to 1000000");
        let config = WindowConfig { future_tolerance_ms: -1, ..Default::default() };
        insta::assert_snapshot!(message(config), @"window.future_tolerance_ms is -1, allowed are 0 to 86400000");
        let config = WindowConfig { retention_ms: Some(299_999), ..Default::default() };
        insta::assert_snapshot!(message(config), @"window.retention_ms is 299999, allowed are 300000 to 3155760000000");
        assert!(serde_json::from_str::<WindowConfig>(r#"{"steps": 3}"#).is_err());
    }
}
