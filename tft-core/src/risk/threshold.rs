//! Thresholds: plain values, or quantiles of a server's own history.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::schema::BadSide;

/// Where trouble begins.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Threshold {
    /// A value in the metric's unit; reaching it counts.
    Value(f64),
    /// A quantile of the server's own history, between 0 and 1; only values beyond it count, so that a
    /// constant series is never in trouble.
    OwnQuantile(f64),
}

/// Looks up quantiles of a server's own history, by metric position and level.
///
/// # Units
/// Answers are in the metric's unit; `None` means that the history says too little.
#[derive(Clone, Copy)]
pub struct OwnQuantiles<'a>(Option<&'a Lookup<'a>>);

type Lookup<'a> = dyn Fn(usize, f64) -> Option<f64> + 'a;

impl Threshold {
    /// Returns whether `value` has got to this threshold, coming from the good side; NaN has not.
    pub fn is_reached(self, value: f64, side: BadSide, metric: usize, own: OwnQuantiles<'_>) -> bool {
        let Some(limit) = self.resolve(metric, own) else { return false };
        let is_beyond = match side {
            BadSide::High => value > limit,
            BadSide::Low => value < limit,
        };
        #[expect(clippy::float_cmp, reason = "a threshold counts when it is met exactly")]
        let is_met = matches!(self, Self::Value(_)) && value == limit;
        is_beyond || is_met
    }

    /// Returns the threshold as a value in the metric's unit, if it is known.
    pub fn resolve(self, metric: usize, own: OwnQuantiles<'_>) -> Option<f64> {
        match self {
            Self::Value(value) => Some(value),
            Self::OwnQuantile(level) => own.get(metric, level),
        }
    }

    /// Returns whether the value is finite, or the quantile strictly between 0 and 1.
    pub(crate) fn is_valid(self) -> bool {
        match self {
            Self::Value(value) => value.is_finite(),
            Self::OwnQuantile(level) => level > 0.0 && level < 1.0,
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Value(value) => write!(f, "{value}"),
            Self::OwnQuantile(level) => write!(f, "own quantile {level}"),
        }
    }
}

impl<'a> OwnQuantiles<'a> {
    /// Knows nothing: thresholds that are own quantiles are never reached.
    pub const NONE: Self = Self(None);

    /// Asks `lookup` with the metric's position in the schema and the level.
    pub fn new(lookup: &'a (dyn Fn(usize, f64) -> Option<f64> + 'a)) -> Self {
        Self(Some(lookup))
    }

    /// Returns a quantile, if it is known and finite.
    pub fn get(self, metric: usize, level: f64) -> Option<f64> {
        self.0.and_then(|lookup| lookup(metric, level)).filter(|value| value.is_finite())
    }
}

impl fmt::Debug for OwnQuantiles<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnQuantiles").field("is_known", &self.0.is_some()).finish()
    }
}
