//! What is tracked, and what counts as drift.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// What a [`DriftTracker`](super::DriftTracker) tracks, and what counts as drift.
///
/// # Defaults
/// Horizons of 1, 3, 6, 12, 24 and 96 steps; 150,000 series (16 MB); a window of 2,016 steps (a week of five minutes);
/// coverage 0.1 too low or a relative loss above 1, by three standard errors, on 200 values in 8 blocks; a quarter of the
/// metrics.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DriftConfig {
    /// The steps ahead that are compared, ascending; 1 to [`DriftConfig::HORIZONS_MAX`] numbers from 1 to
    /// [`DriftConfig::HORIZON_STEPS_MAX`]. One that a forecast does not reach stays unknown.
    pub horizons_steps: Vec<usize>,
    /// Most series, a server and metric each, that are tracked; 1 to [`DriftConfig::SERIES_MAX`].
    pub series_max: usize,
    /// Steps that figures look back on; at least [`blocks_min`](Self::blocks_min) times the longest horizon (12 at least),
    /// at most [`DriftConfig::WINDOW_STEPS_MAX`].
    pub window_steps: usize,
    /// How far coverage may lie below what is expected; 0 to 1.
    pub coverage_tolerance: f64,
    /// The pinball loss relative to that of repeating the newest value that is accepted; above 0, at most 100.
    pub relative_loss_max: f64,
    /// Standard errors by which a figure must be beyond its limit; 0 to 100.
    pub sigmas: f64,
    /// Fewest values behind a verdict; 1 to 1,000,000.
    pub values_min: usize,
    /// Fewest blocks behind a verdict; 2 to 1,000.
    pub blocks_min: usize,
    /// The share of a method's judged metrics with which it drifts as a whole; above 0, at most 1.
    pub drifting_share_min: f64,
}

#[derive(Debug, thiserror::Error)]
enum ConfigError {
    #[error("drift.{key} is {value}, allowed are {allowed}")]
    Range { key: &'static str, value: String, allowed: String },
    #[error(
        "drift.horizons_steps are {value:?}, allowed are {} ascending numbers from 1 to {} at most",
        DriftConfig::HORIZONS_MAX,
        DriftConfig::HORIZON_STEPS_MAX
    )]
    Horizons { value: Vec<usize> },
}

impl DriftConfig {
    /// Most horizons.
    pub const HORIZONS_MAX: usize = 16;
    /// Longest horizon, in steps.
    pub const HORIZON_STEPS_MAX: usize = 2_016;
    /// Most series.
    pub const SERIES_MAX: usize = 16_000_000;
    /// Longest window, in steps.
    pub const WINDOW_STEPS_MAX: usize = 1_000_000;
    /// The least length of a block, in steps: what is shorter is one and the same incident.
    pub(super) const BLOCK_STEPS_MIN: usize = 12;

    /// Checks all fields.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] naming the first key at fault.
    pub(super) fn validate(&self) -> Result<(), Error> {
        self.check_horizons()?;
        let count = |key, value: usize, min: usize, max: usize| {
            check(key, (min..=max).contains(&value), value, format!("{min} to {max}"))
        };
        count("series_max", self.series_max, 1, Self::SERIES_MAX)?;
        count("values_min", self.values_min, 1, 1_000_000)?;
        count("blocks_min", self.blocks_min, 2, 1_000)?;
        let longest = self.horizons_steps.iter().map(|&steps| block_steps(steps)).max().unwrap_or(1);
        count("window_steps", self.window_steps, self.blocks_min * longest, Self::WINDOW_STEPS_MAX)?;
        let number = |key, value: f64, min: f64, max: f64| {
            check(key, value >= min && value <= max, value, format!("{min} to {max}"))
        };
        number("coverage_tolerance", self.coverage_tolerance, 0.0, 1.0)?;
        number("relative_loss_max", self.relative_loss_max, f64::MIN_POSITIVE, 100.0)?;
        number("sigmas", self.sigmas, 0.0, 100.0)?;
        number("drifting_share_min", self.drifting_share_min, f64::MIN_POSITIVE, 1.0)
    }

    fn check_horizons(&self) -> Result<(), Error> {
        let horizons = &self.horizons_steps;
        let is_ascending = horizons.windows(2).all(|pair| pair[0] < pair[1]);
        let in_range = horizons.iter().all(|steps| (1..=Self::HORIZON_STEPS_MAX).contains(steps));
        if is_ascending && in_range && (1..=Self::HORIZONS_MAX).contains(&horizons.len()) {
            return Ok(());
        }
        let value = horizons.iter().copied().take(Self::HORIZONS_MAX + 1).collect();
        Err(ConfigError::Horizons { value }.into())
    }
}

impl Default for DriftConfig {
    fn default() -> Self {
        Self {
            horizons_steps: vec![1, 3, 6, 12, 24, 96],
            series_max: 150_000,
            window_steps: 2_016,
            coverage_tolerance: 0.1,
            relative_loss_max: 1.0,
            sigmas: 3.0,
            values_min: 200,
            blocks_min: 8,
            drifting_share_min: 0.25,
        }
    }
}

impl From<ConfigError> for Error {
    fn from(error: ConfigError) -> Self {
        Self::new(ErrorKind::InvalidConfig, error)
    }
}

/// Returns the length of a horizon's blocks, in steps.
pub(super) fn block_steps(horizon_steps: usize) -> usize {
    horizon_steps.max(DriftConfig::BLOCK_STEPS_MIN)
}

fn check(
    key: &'static str,
    is_valid: bool,
    value: impl std::fmt::Display,
    allowed: String,
) -> Result<(), Error> {
    if is_valid { Ok(()) } else { Err(ConfigError::Range { key, value: value.to_string(), allowed }.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_is_valid_and_survives_json() {
        let config = DriftConfig::default();
        config.validate().unwrap();
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<DriftConfig>(&text).unwrap(), config);
        assert!(serde_json::from_str::<DriftConfig>(r#"{"horizon":1}"#).is_err());
    }

    #[test]
    fn errors_name_the_key_and_the_value() {
        let error_of = |config: DriftConfig| config.validate().unwrap_err().to_string();
        let base = DriftConfig::default;
        insta::assert_snapshot!(error_of(DriftConfig { horizons_steps: vec![6, 3], ..base() }), @"drift.horizons_steps are [6, 3], allowed are 16 ascending numbers from 1 to 2016 at most");
        insta::assert_snapshot!(error_of(DriftConfig { window_steps: 700, ..base() }), @"drift.window_steps is 700, allowed are 768 to 1000000");
        insta::assert_snapshot!(error_of(DriftConfig { series_max: 0, ..base() }), @"drift.series_max is 0, allowed are 1 to 16000000");
        insta::assert_snapshot!(error_of(DriftConfig { coverage_tolerance: f64::NAN, ..base() }), @"drift.coverage_tolerance is NaN, allowed are 0 to 1");
    }
}
