//! What a forecast says about a threshold: when it is crossed, and how probably.

use crate::forecast::{MetricForecast, Quantile, QuantileLevels};
use crate::risk::{BreachQuery, BreachRow, FleetPolicy, OwnQuantiles, Threshold, breach_probability};
use crate::schema::{BadSide, Metric};
use crate::time::StepLength;

use super::evidence::nats;

/// A threshold of one server's metric.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Limit {
    /// The threshold: the fleet policy's warning, or else a quantile of the server's own history.
    pub at: Threshold,
    /// The same as a value, in the metric's unit.
    pub value: f64,
    /// Which side of it is bad.
    pub side: BadSide,
}

/// The step of a forecast whose median is furthest to the bad side, in the metric's unit.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Peak {
    /// How many steps after the origin, from 1.
    pub steps_ahead: usize,
    /// The tenth percentile.
    pub p10: f64,
    /// The median.
    pub p50: f64,
    /// The ninetieth percentile.
    pub p90: f64,
}

/// What a forecast says about a threshold.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Outlook {
    /// The threshold.
    pub limit: Limit,
    /// The first step ahead, from 1, whose median is beyond the threshold.
    pub crossing_p50_steps: Option<usize>,
    /// The first step ahead, from 1, whose bad-side quantile (P90, or P10 where low is bad) is beyond the threshold.
    pub crossing_outer_steps: Option<usize>,
    /// The probability that the threshold is crossed within [`Outlook::SOON_MS`].
    pub probability_soon: f64,
    /// The probability that it is crossed within the whole forecast.
    pub probability: f64,
    /// `−ln(1 − probability_soon)`, at most [`Evidence::NATS_MAX`](super::Evidence::NATS_MAX).
    pub nats: f64,
}

impl Limit {
    /// Finds the threshold of a metric; none if it is a quantile of a history that is too short.
    pub(super) fn of(policy: &FleetPolicy, metric: (usize, &Metric), own: OwnQuantiles<'_>) -> Option<Self> {
        let (index, metric) = metric;
        let row = policy.rows.iter().find(|row| row.metric == metric.name);
        let unusual = || BreachRow::from_own_history(metric);
        let (at, side) = row.map_or_else(
            || (unusual().warning, metric.bad_side),
            |BreachRow { warning, side, .. }| (*warning, *side),
        );
        Some(Self { at, value: at.resolve(index, own)?, side })
    }

    /// The nearest value that is beyond the threshold: an own quantile must be passed, not only met.
    fn nearest_beyond(self) -> f64 {
        match (self.at, self.side) {
            (Threshold::OwnQuantile(_), BadSide::High) => self.value.next_up(),
            (Threshold::OwnQuantile(_), BadSide::Low) => self.value.next_down(),
            (Threshold::Value(_), _) => self.value,
        }
    }

    fn is_crossed_by(self, value: f64) -> bool {
        match self.side {
            BadSide::High => value >= self.nearest_beyond(),
            BadSide::Low => value <= self.nearest_beyond(),
        }
    }

    /// The first step ahead, from 1, at which a quantile's path is beyond the threshold.
    fn crossing_steps(self, forecast: &MetricForecast, quantile_index: usize) -> Option<usize> {
        let path = forecast.path(quantile_index);
        path.iter().position(|&value| self.is_crossed_by(f64::from(value))).map(|index| index + 1)
    }
}

impl Peak {
    /// Finds the peak of a forecast; none if it has no steps. Of equal steps the first counts.
    pub(super) fn of(forecast: &MetricForecast, levels: &QuantileLevels, side: BadSide) -> Option<Self> {
        let median = forecast.path(levels.nearest(Quantile::MEDIAN));
        let mut peak = 0;
        for (index, &value) in median.iter().enumerate() {
            let is_worse = match side {
                BadSide::High => value > median[peak],
                BadSide::Low => value < median[peak],
            };
            if is_worse {
                peak = index;
            }
        }
        let at = |quantile| {
            let path = forecast.path(levels.nearest(quantile));
            path.get(peak).copied().map(f64::from)
        };
        Some(Self {
            steps_ahead: peak + 1,
            p10: at(Quantile::P10)?,
            p50: at(Quantile::MEDIAN)?,
            p90: at(Quantile::P90)?,
        })
    }
}

impl Outlook {
    /// What counts as soon, in milliseconds: two hours, in which the fallback's deviations decay by two thirds.
    pub const SOON_MS: i64 = 2 * 3_600_000;

    pub(super) fn of(
        forecast: &MetricForecast,
        levels: &QuantileLevels,
        step_length: StepLength,
        limit: Limit,
    ) -> Self {
        let soon_steps = (Self::SOON_MS / step_length.as_millis()).max(1) as usize;
        let probability = |steps: usize| {
            let threshold = limit.nearest_beyond();
            let query = BreachQuery { side: limit.side, threshold, steps, dependent_steps: soon_steps };
            breach_probability(forecast, levels, &query)
        };
        let outer = match limit.side {
            BadSide::High => Quantile::P90,
            BadSide::Low => Quantile::P10,
        };
        let probability_soon = probability(soon_steps);
        Self {
            limit,
            crossing_p50_steps: limit.crossing_steps(forecast, levels.nearest(Quantile::MEDIAN)),
            crossing_outer_steps: limit.crossing_steps(forecast, levels.nearest(outer)),
            probability_soon,
            probability: probability(forecast.horizon()),
            nats: nats(1.0 - probability_soon),
        }
    }
}
