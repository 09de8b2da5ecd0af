//! What the network looked at when it made a forecast: past hours, and variables.
//!
//! Owns the summary of one window's [`Interpretation`] for people. All numbers are the network's own.

use super::Interpretation;
use crate::error::Error;
use crate::forecast::NetworkTrace;
use crate::model::Architecture;
use crate::time::StepLength;

/// What the network looked at when it made the forecast of one window.
///
/// With the built-in model each metric has a window of its own; an imported model has one for all its targets.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Focus {
    /// The metrics that the window forecasts, by their positions in the schema.
    pub metrics: Vec<usize>,
    /// The step ahead, from 1, whose attention this is.
    pub steps_ahead: usize,
    /// The shares of attention by hours before the end of the origin step, the nearest first; with the two shares
    /// below they sum to 1, or all are 0 where no head attends to anything.
    pub hours: Vec<HourShare>,
    /// The share of attention to what is longer ago than [`Focus::HOURS_MAX`].
    pub earlier_share: f64,
    /// The share of attention to the forecast's own steps before `steps_ahead`, where only what is known of the
    /// future can be seen.
    pub ahead_share: f64,
    /// The static variables by the network's selection weights, the most important first; shares sum to 1.
    pub static_variables: Vec<VariableShare>,
    /// The variables of past steps, likewise, averaged over the steps.
    pub encoder_variables: Vec<VariableShare>,
    /// The variables of future steps, likewise.
    pub decoder_variables: Vec<VariableShare>,
}

/// The attention to one hour.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct HourShare {
    /// How many hours ago it ended; 0 is the hour that ends with the origin.
    pub hours_ago: usize,
    /// Its share of all attention.
    pub share: f64,
}

/// The weight of one variable.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct VariableShare {
    /// The variable's name in the model.
    pub variable: String,
    /// Its share of the selection weights.
    pub share: f64,
}

impl Focus {
    /// Most hours that are listed one by one: three days.
    pub const HOURS_MAX: usize = 72;

    /// Reads one window of a trace; `steps_ahead` counts from 1.
    pub(super) fn of(
        trace: &NetworkTrace,
        architecture: &Architecture,
        step_length: StepLength,
        (window, steps_ahead): (usize, usize),
    ) -> Result<Self, Error> {
        let read = Interpretation::of(&trace.output, &trace.batch, architecture, steps_ahead - 1)?;
        let past_steps = read.attention.ncols() - (steps_ahead - 1);
        let steps_per_hour = (HOUR_MS / step_length.as_millis()).max(1) as usize;
        let (mut hours, mut earlier_share, mut ahead_share) = (Vec::new(), 0.0, 0.0);
        for (column, &share) in read.attention.row(window).iter().enumerate() {
            let share = f64::from(share);
            match past_steps.checked_sub(column + 1).map(|steps_ago| steps_ago / steps_per_hour) {
                None => ahead_share += share,
                Some(hours_ago) if hours_ago >= Self::HOURS_MAX => earlier_share += share,
                Some(hours_ago) => add(&mut hours, hours_ago, share),
            }
        }
        let shares = |importance: &super::Importance| {
            let ranked = importance.ranked_in(window).unwrap_or_default().into_iter();
            let share = |(variable, share): (&str, f32)| VariableShare {
                variable: variable.to_owned(),
                share: f64::from(share),
            };
            ranked.map(share).collect()
        };
        Ok(Self {
            metrics: trace.windows[window].clone(),
            steps_ahead,
            hours,
            earlier_share,
            ahead_share,
            static_variables: shares(&read.static_variables),
            encoder_variables: shares(&read.encoder_variables),
            decoder_variables: shares(&read.decoder_variables),
        })
    }

    /// Returns the hour with most attention; of equal ones the newest. None if there is no attention to the past.
    pub fn peak_hour(&self) -> Option<HourShare> {
        let more = |a: HourShare, b: HourShare| if b.share > a.share { b } else { a };
        self.hours.iter().copied().reduce(more).filter(|hour| hour.share > 0.0)
    }
}

/// Adds to an hour; hours come first as needed.
fn add(hours: &mut Vec<HourShare>, hours_ago: usize, share: f64) {
    while hours.len() <= hours_ago {
        hours.push(HourShare { hours_ago: hours.len(), share: 0.0 });
    }
    hours[hours_ago].share += share;
}

const HOUR_MS: i64 = 3_600_000;
