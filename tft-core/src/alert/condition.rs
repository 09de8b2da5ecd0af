//! What a rule measures: the quantity that it compares with its thresholds.

use serde::{Deserialize, Serialize};

use crate::risk::Threshold;
use crate::time::StepSpan;
use crate::window::ReadinessState;

/// What a rule measures of a server; a file names the `kind`.
///
/// # Units
/// The metric's unit for values, 0 to 100 for risk, 0 to 1 for probabilities, percent for shares, minutes for times.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Condition {
    /// A metric's newest observed value.
    Observed {
        /// The metric's name.
        metric: String,
    },
    /// The worst of a metric's newest observed value and its forecast within a look-ahead.
    Forecast {
        /// The metric's name.
        metric: String,
        /// Which quantile of the forecast is compared, between 0 and 1; the nearest that there is counts.
        #[serde(default = "median")]
        quantile: f64,
        /// How far ahead the forecast counts; at most [`Condition::STEPS_MAX`] steps. The observed value is step 0.
        #[serde(default = "hour_of_steps")]
        within: StepSpan,
        /// How many steps in a row must be beyond a threshold; 1 to the look-ahead and one more.
        #[serde(default = "one")]
        min_steps: usize,
    },
    /// The risk score, which looks ahead by itself.
    Risk {},
    /// The probability, read from the forecast's quantiles, that a metric gets to a value within a look-ahead.
    Probability {
        /// The metric's name.
        metric: String,
        /// The value; the rule's direction says from which side.
        reaches: Threshold,
        /// How far ahead the forecast counts; at most [`Condition::STEPS_MAX`] steps.
        #[serde(default = "hour_of_steps")]
        within: StepSpan,
    },
    /// The time for which a server has not been ready for the model.
    Readiness {
        /// The states that count; `ready` is none of them.
        #[serde(default = "not_reporting")]
        states: Vec<ReadinessState>,
    },
    /// The time for which a metric has been missing while its server reported.
    ///
    /// For a metric that the window holds no value of, that is all the time that the window holds of the server.
    Missing {
        /// The metric's name.
        metric: String,
    },
    /// The share of a metric's observed values in the newest steps that are beyond a value.
    ///
    /// Unknown while less than half of the steps have a value.
    Share {
        /// The metric's name.
        metric: String,
        /// The value; the rule's direction says which side is beyond.
        reaches: Threshold,
        /// The newest steps; at least 1, at most [`Condition::STEPS_MAX`].
        over: StepSpan,
    },
}

impl Condition {
    /// Most steps of the forecast, or of the observed past, that may count.
    pub const STEPS_MAX: usize = 1024;

    /// Returns the metric that is measured, if it is one.
    pub fn metric(&self) -> Option<&str> {
        match self {
            Self::Observed { metric }
            | Self::Forecast { metric, .. }
            | Self::Probability { metric, .. }
            | Self::Missing { metric }
            | Self::Share { metric, .. } => Some(metric),
            Self::Risk {} | Self::Readiness { .. } => None,
        }
    }

    /// Returns the level of the forecast's quantile that is compared, if there is one.
    pub fn quantile(&self) -> Option<f64> {
        match self {
            Self::Forecast { quantile, .. } => Some(*quantile),
            _ => None,
        }
    }

    /// Returns the name that a file gives this kind of condition.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Observed { .. } => "observed",
            Self::Forecast { .. } => "forecast",
            Self::Risk {} => "risk",
            Self::Probability { .. } => "probability",
            Self::Readiness { .. } => "readiness",
            Self::Missing { .. } => "missing",
            Self::Share { .. } => "share",
        }
    }

    /// Builds the forecast of a metric with the defaults of every field that a file may leave out.
    pub fn forecast(metric: impl Into<String>) -> Self {
        let (quantile, within, min_steps) = (median(), hour_of_steps(), one());
        Self::Forecast { metric: metric.into(), quantile, within, min_steps }
    }

    /// Returns whether what is compared is the metric itself, so that its history can give thresholds.
    pub(super) fn is_of_values(&self) -> bool {
        matches!(self, Self::Observed { .. } | Self::Forecast { .. })
    }

    /// The field and the steps of the forecast or the past that count.
    pub(super) fn span(&self) -> Option<(&'static str, StepSpan)> {
        match self {
            Self::Forecast { within, .. } | Self::Probability { within, .. } => Some(("within", *within)),
            Self::Share { over, .. } => Some(("over", *over)),
            _ => None,
        }
    }

    /// How many steps in a row must be beyond a threshold.
    pub(super) fn min_steps(&self) -> usize {
        match self {
            Self::Forecast { min_steps, .. } => *min_steps,
            _ => 1,
        }
    }

    /// The metric's value that counts as trouble, where the condition itself has one.
    pub(super) fn reaches(&self) -> Option<Threshold> {
        match self {
            Self::Probability { reaches, .. } | Self::Share { reaches, .. } => Some(*reaches),
            _ => None,
        }
    }
}

const fn median() -> f64 {
    0.5
}

const fn hour_of_steps() -> StepSpan {
    StepSpan::Steps(12)
}

const fn one() -> usize {
    1
}

fn not_reporting() -> Vec<ReadinessState> {
    vec![ReadinessState::Stale, ReadinessState::Gap]
}
