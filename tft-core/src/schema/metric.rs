//! One measured quantity: its name, kind, unit, valid range and bad side.

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind};

/// One measured quantity of a server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Metric {
    /// 1 to 64 characters of `[A-Za-z0-9_]`.
    pub name: String,
    /// What sort of number it is.
    pub kind: MetricKind,
    /// The unit for people, such as `%` or `MB/s`; may be empty.
    #[serde(default)]
    pub unit: String,
    /// The smallest valid value, in the metric's unit; none means unbounded.
    #[serde(default)]
    pub min: Option<f64>,
    /// The largest valid value, in the metric's unit; none means unbounded.
    #[serde(default)]
    pub max: Option<f64>,
    /// Which end of the range means trouble.
    #[serde(default)]
    pub bad_side: BadSide,
    /// How several samples within one step become the step's value.
    #[serde(default)]
    pub aggregation: Aggregation,
}

/// What sort of number a metric is; models may know each kind by its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MetricKind {
    /// A share of a whole, 0 to 100.
    Percentage,
    /// A real number, such as a rate or a load.
    Continuous,
    /// A number of things.
    Count,
}

/// Which end of a metric's range means trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum BadSide {
    /// High values are bad, as for used memory.
    #[default]
    High,
    /// Low values are bad, as for idle CPU.
    Low,
}

/// How several samples within one step become the step's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Aggregation {
    /// The arithmetic mean.
    #[default]
    Mean,
    /// The largest sample.
    Max,
    /// The sample with the latest timestamp.
    Last,
}

#[derive(Debug, thiserror::Error)]
enum MetricError {
    #[error("metric name `{name}` must be 1 to {} characters of [A-Za-z0-9_]", Metric::NAME_LENGTH_MAX)]
    Name { name: String },
    #[error("metric `{name}` has the range {min} to {max}; both must be finite and the first the smaller")]
    Range { name: String, min: f64, max: f64 },
}

impl Metric {
    /// Most characters of a metric's name.
    pub const NAME_LENGTH_MAX: usize = 64;

    /// By how much a percentage may lie outside its range and still be accepted (and clamped).
    pub const PERCENTAGE_TOLERANCE: f64 = 0.5;

    /// Builds a metric with the usual range of its kind: percentages 0–100, counts from 0, continuous
    /// metrics unbounded; high is bad.
    pub fn new(name: impl Into<String>, kind: MetricKind) -> Self {
        let (min, max) = match kind {
            MetricKind::Percentage => (Some(0.0), Some(100.0)),
            MetricKind::Count => (Some(0.0), None),
            MetricKind::Continuous => (None, None),
        };
        Self {
            name: name.into(),
            kind,
            unit: if kind == MetricKind::Percentage { "%".into() } else { String::new() },
            min,
            max,
            bad_side: BadSide::High,
            aggregation: Aggregation::Mean,
        }
    }

    /// Returns `value` limited to the valid range; NaN stays NaN.
    pub fn clamp(&self, value: f64) -> f64 {
        let raised = self.min.map_or(value, |min| if value < min { min } else { value });
        self.max.map_or(raised, |max| if raised > max { max } else { raised })
    }

    /// Returns whether `value` is finite and inside the valid range, percentages with a
    /// [tolerance](Self::PERCENTAGE_TOLERANCE).
    pub fn accepts(&self, value: f64) -> bool {
        let slack = if self.kind == MetricKind::Percentage { Self::PERCENTAGE_TOLERANCE } else { 0.0 };
        value.is_finite()
            && (value as f32).is_finite()
            && self.min.is_none_or(|min| value >= min - slack)
            && self.max.is_none_or(|max| value <= max + slack)
    }

    pub(super) fn validate(&self) -> Result<(), Error> {
        let name_is_valid = (1..=Self::NAME_LENGTH_MAX).contains(&self.name.len())
            && self.name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !name_is_valid {
            return Err(MetricError::Name { name: crate::time::abbreviate(&self.name) }.into());
        }
        let min = self.min.unwrap_or(f64::MIN);
        let max = self.max.unwrap_or(f64::MAX);
        if !min.is_finite() || !max.is_finite() || min >= max {
            return Err(MetricError::Range { name: self.name.clone(), min, max }.into());
        }
        Ok(())
    }
}

impl MetricKind {
    /// Guesses what sort of number a metric is from its values, by the rule with which the built-in model was trained.
    ///
    /// A percentage if everything lies in 0–100 and something above 50; a count if nothing is negative and half of
    /// the values are at least 100; otherwise continuous. Missing values do not count.
    pub fn guess(values: impl IntoIterator<Item = f32>) -> Self {
        let mut values: Vec<_> = values.into_iter().filter(|value| !value.is_nan()).collect();
        values.sort_unstable_by(f32::total_cmp);
        let (Some(&lowest), Some(&highest)) = (values.first(), values.last()) else {
            return Self::Continuous;
        };
        match values[values.len() / 2] {
            _ if lowest >= 0.0 && highest > 50.0 && highest <= 100.0 => Self::Percentage,
            median if lowest >= 0.0 && median >= 100.0 => Self::Count,
            _ => Self::Continuous,
        }
    }

    /// Returns the kind's name as files spell it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Percentage => "percentage",
            Self::Continuous => "continuous",
            Self::Count => "count",
        }
    }
}

impl From<MetricError> for Error {
    fn from(error: MetricError) -> Self {
        Self::new(ErrorKind::InvalidConfig, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_accepted_with_a_tolerance_and_clamped() {
        let metric = Metric::new("cpu", MetricKind::Percentage);
        assert!(metric.accepts(100.5) && metric.accepts(-0.5));
        assert!(!metric.accepts(100.6) && !metric.accepts(f64::NAN));
        assert!((metric.clamp(100.4) - 100.0).abs() < f64::EPSILON);
        assert!(metric.clamp(f64::NAN).is_nan());
    }

    #[test]
    fn values_beyond_single_precision_are_refused() {
        assert!(!Metric::new("bytes", MetricKind::Continuous).accepts(1e39));
    }

    #[test]
    fn kinds_are_guessed_by_the_stated_rule() {
        for (values, kind) in [
            (vec![0.0, 3.0, 99.0], MetricKind::Percentage),
            (vec![0.0, 250.0, 9000.0], MetricKind::Count),
            (vec![0.0, 0.4, 1.0], MetricKind::Continuous),
            (vec![-1.0, 500.0, 600.0], MetricKind::Continuous),
            (vec![f32::NAN, 60.0], MetricKind::Percentage),
            (vec![], MetricKind::Continuous),
        ] {
            assert_eq!(MetricKind::guess(values.iter().copied()), kind, "{values:?}");
        }
    }
}
