//! Another past, and what the forecast would have been then.
//!
//! Owns the changes that can be made to a history. The forecasts are the model's: the window is changed, and the
//! model runs again.

use serde::{Deserialize, Serialize};

use super::outlook::{Outlook, Peak};
use crate::error::{Error, ErrorKind};
use crate::schema::Metric;
use crate::time::Step;
use crate::window::{RollingWindow, ServerView};

/// A question: what would be forecast if a metric's last steps had been different?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhatIf {
    /// The metric's name.
    pub metric: String,
    /// How it would have been different.
    pub change: Change,
    /// For how many steps, up to the origin; 1 to the steps that the window keeps.
    pub last_steps: usize,
}

/// How values would have been different; the result is kept within the metric's range.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Change {
    /// It had stayed where it was before: at the median of the half hour before the changed steps.
    Hold,
    /// It had been as at the same hours of the day before, as far as these are known.
    DayBefore,
    /// It had been this many times what it was; 0 to [`WhatIf::SCALE_MAX`].
    Scale(f64),
    /// It had been more by this, in its unit; at most [`WhatIf::OFFSET_MAX`] either way.
    Offset(f64),
}

/// What would have been forecast after another past.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Counterfactual {
    /// The metric's position in the schema.
    pub metric: usize,
    /// How its values were changed.
    pub change: Change,
    /// For how many steps, up to the origin.
    pub last_steps: usize,
    /// What is forecast.
    pub actual: Outcome,
    /// What would be forecast.
    pub changed: Outcome,
    /// The other metrics whose medians would change by more than a thousandth of themselves anywhere; always empty
    /// if the model looks at one metric at a time.
    pub others: Vec<OtherOutcome>,
    /// The same in a sentence.
    pub text: String,
}

/// The forecast of one metric, and the risk of its server.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Outcome {
    /// The newest value, in the metric's unit.
    pub current: f64,
    /// The server's risk score, 0 to 100.
    pub risk_score: f64,
    /// The worst step of the forecast.
    pub peak: Peak,
    /// What it says about the metric's threshold; none if that is not known.
    pub outlook: Option<Outlook>,
    /// The path of the median, in the metric's unit.
    pub p50: Vec<f32>,
    /// The path of the P90, in the metric's unit.
    pub p90: Vec<f32>,
}

/// What a counterfactual does to another metric of the server.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OtherOutcome {
    /// The metric's position in the schema.
    pub metric: usize,
    /// The worst step of its forecast.
    pub actual: Peak,
    /// The worst step that its forecast would have.
    pub changed: Peak,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum WhatIfError {
    #[error("what_if.metric is `{metric}`, which the schema lacks")]
    UnknownMetric { metric: String },
    #[error("what_if.last_steps is {steps}, allowed are 1 to {max}")]
    Steps { steps: usize, max: usize },
    #[error("what_if.change.scale is {factor}, allowed are 0 to {}", WhatIf::SCALE_MAX)]
    Scale { factor: f64 },
    #[error("what_if.change.offset is {offset}, allowed are {} to {}", -WhatIf::OFFSET_MAX, WhatIf::OFFSET_MAX)]
    Offset { offset: f64 },
    #[error("metric `{metric}` of server `{server}` has no value {needed}")]
    NoValue { metric: String, server: String, needed: &'static str },
}

impl WhatIf {
    /// The largest factor of [`Change::Scale`].
    pub const SCALE_MAX: f64 = 1000.0;
    /// The largest shift of [`Change::Offset`], in the metric's unit.
    pub const OFFSET_MAX: f64 = 1e12;

    pub(super) fn validate(&self, window: &RollingWindow) -> Result<(), Error> {
        let max = window.config().steps_per_server;
        if !(1..=max).contains(&self.last_steps) {
            return Err(WhatIfError::Steps { steps: self.last_steps, max }.into());
        }
        match self.change {
            Change::Scale(factor) if !(0.0..=Self::SCALE_MAX).contains(&factor) => {
                Err(WhatIfError::Scale { factor }.into())
            }
            Change::Offset(offset) if !(-Self::OFFSET_MAX..=Self::OFFSET_MAX).contains(&offset) => {
                Err(WhatIfError::Offset { offset }.into())
            }
            _ => Ok(()),
        }
    }
}

impl Change {
    /// Returns the window as it would be; none if nothing would be different.
    ///
    /// # Errors
    /// [`WhatIfError::NoValue`] if the value that the change goes back to is not known.
    pub(super) fn apply(
        self,
        window: &RollingWindow,
        view: &ServerView<'_>,
        (index, metric): (usize, &Metric),
        (origin, last_steps): (Step, usize),
    ) -> Result<Option<RollingWindow>, WhatIfError> {
        let first = origin.plus(1 - last_steps as i64);
        let no_value = |needed| WhatIfError::NoValue {
            metric: metric.name.clone(),
            server: view.name().to_string(),
            needed,
        };
        let held = match self {
            Self::Hold => median_before(view, index, first).ok_or_else(|| no_value("before these steps"))?,
            _ => f32::NAN,
        };
        let per_day = window.config().step.steps_per_day() as i64;
        let changed = |step: Step, value: f32| match self {
            Self::Hold => held,
            Self::DayBefore => view.value(index, step.plus(-per_day)).unwrap_or(value),
            Self::Scale(factor) => metric.clamp(f64::from(value) * factor) as f32,
            Self::Offset(offset) => metric.clamp(f64::from(value) + offset) as f32,
        };
        let steps = (first.0..=origin.0).map(Step);
        let known = steps.filter_map(|step| Some((step, view.value(index, step)?)));
        let (mut count, mut differences) = (0, 0);
        for (step, value) in known {
            count += 1;
            differences += usize::from(changed(step, value).to_bits() != value.to_bits());
        }
        if count == 0 {
            return Err(no_value("in these steps"));
        }
        let window = || window.with_changed(view.name().as_str(), index, (first, origin), changed);
        Ok((differences > 0).then(window).flatten())
    }
}

/// The median of the known values among the [`HOLD_STEPS`] before a step.
fn median_before(view: &ServerView<'_>, metric: usize, first: Step) -> Option<f32> {
    let steps = (1..=HOLD_STEPS).map(|ago| first.plus(-ago));
    let mut values: Vec<f32> = steps.filter_map(|step| view.value(metric, step)).collect();
    values.sort_unstable_by(f32::total_cmp);
    values.get(values.len() / 2).copied()
}

impl From<WhatIfError> for Error {
    fn from(error: WhatIfError) -> Self {
        Self::new(ErrorKind::InvalidInput, error)
    }
}

/// How many steps say where a metric was: half an hour of five-minute steps.
const HOLD_STEPS: i64 = 6;
