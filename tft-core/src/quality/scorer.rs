//! Scores forecasts while the values that they were about arrive.
//!
//! Owns which series there are and how much is kept, which [`ScorerConfig`] bounds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::series::{HORIZON_MAX, Series};
use super::{LEVELS, QualitySummary, SeasonalNaive};
use crate::error::{Error, ErrorKind};
use crate::forecast::{MetricForecast, Quantile, QuantileLevels};
use crate::schema::ServerName;
use crate::time::{Step, StepLength};

/// Compares forecasts with what came true, against the seasonal-naive reference.
///
/// Drive it in this order: [`add_series`](Self::add_series) once per server and metric with its past, then
/// per step [`record_forecast`](Self::record_forecast) for forecasts made and
/// [`record_realised`](Self::record_realised) for values observed; [`summary`](Self::summary) at any time.
///
/// # Examples
/// ```
/// use ndarray::Array2;
/// use tft_core::forecast::{Method, MetricForecast, QuantileLevels};
/// use tft_core::quality::{ForecastScorer, ScoredForecast, ScorerConfig};
/// use tft_core::schema::{Schema, ServerName};
/// use tft_core::time::Step;
///
/// let mut scorer = ForecastScorer::new(ScorerConfig::default())?;
/// let server = ServerName::new("db-7")?;
/// let past: Vec<f32> = (0..576).map(|at| (at % 100) as f32).collect();
/// scorer.add_series(&server, 0, &past)?;
///
/// let levels = QuantileLevels::new(&[0.1, 0.5, 0.9])?;
/// let range = &Schema::server_metrics().metrics()[0].clone();
/// let values = Array2::from_shape_fn((6, 3), |(_, level)| [40.0, 50.0, 60.0][level]);
/// let forecast = MetricForecast::new(0, Method::Tft, 50.0, values, range);
/// scorer.record_forecast(&ScoredForecast {
///     server: &server,
///     origin: Step(576),
///     forecast: &forecast,
///     levels: &levels,
///     seasonal_naive: &[20.0; 6],
/// })?;
/// for ahead in 1..=6 {
///     scorer.record_realised(&server, 0, Step(576 + ahead), 51.0);
/// }
/// assert_eq!(scorer.summary().horizons[0].coverage, Some(1.0));
/// # Ok::<(), tft_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct ForecastScorer {
    config: ScorerConfig,
    series: BTreeMap<ServerName, BTreeMap<usize, Series>>,
    series_count: usize,
    pending_steps: usize,
}

/// How much a [`ForecastScorer`] keeps.
///
/// # Defaults
/// Steps of five minutes, 65,536 series, 8,388,608 forecast steps waiting for their values (128 MiB).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScorerConfig {
    /// The length of a step, which says how many make a day.
    pub step_length: StepLength,
    /// Most series, a server and metric each; at least 1.
    pub series_max: usize,
    /// Most forecast steps that wait for their value, over all series; at least 1. Each takes 16 bytes.
    pub pending_steps_max: usize,
}

/// One forecast to be scored, beside the reference's.
#[derive(Debug, Clone, Copy)]
pub struct ScoredForecast<'a> {
    /// The server.
    pub server: &'a ServerName,
    /// The newest step that the forecast knew; later than any recorded before for this series.
    pub origin: Step,
    /// The forecast.
    pub forecast: &'a MetricForecast,
    /// Its levels, among them 0.1, 0.5 and 0.9.
    pub levels: &'a QuantileLevels,
    /// The reference's path, as [`seasonal_naive`](super::seasonal_naive) makes it; a step where it is NaN
    /// or absent is not scored.
    pub seasonal_naive: &'a [f32],
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ScorerError {
    #[error("scorer field `{field}` is 0, the least is 1")]
    Zero { field: &'static str },
    #[error("scorer has {max} series, which is `series_max`")]
    SeriesMax { max: usize },
    #[error("scorer has {pending} steps waiting and the forecast {steps}, `pending_steps_max` is {max}")]
    PendingMax { pending: usize, steps: usize, max: usize },
    #[error("series of server `{server}` and metric {metric} is already known to the scorer")]
    SeriesTaken { server: ServerName, metric: usize },
    #[error("series of server `{server}` and metric {metric} is not known to the scorer")]
    SeriesUnknown { server: ServerName, metric: usize },
    #[error("forecast for server `{server}` has origin {origin}, not after the one before, {newest}")]
    OriginOrder { server: ServerName, origin: i64, newest: i64 },
    #[error("quantile levels of the forecast lack {level}")]
    LevelMissing { level: f64 },
}

impl ForecastScorer {
    /// Checks a configuration and builds a scorer without series.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if a limit is 0.
    pub fn new(config: ScorerConfig) -> Result<Self, Error> {
        for (field, value) in
            [("series_max", config.series_max), ("pending_steps_max", config.pending_steps_max)]
        {
            if value == 0 {
                return Err(ScorerError::Zero { field }.into());
            }
        }
        Ok(Self { config, series: BTreeMap::new(), series_count: 0, pending_steps: 0 })
    }

    /// Makes a server's metric known, with its past before the first forecast.
    ///
    /// The past, oldest first and NaN where missing, gives the reference its bands, and says whether the
    /// series counts: one that changes in under 20 % of steps does not.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the series is known; [`ErrorKind::LimitExceeded`] if there are too many.
    pub fn add_series(&mut self, server: &ServerName, metric: usize, past: &[f32]) -> Result<(), Error> {
        if self.series.get(server).is_some_and(|metrics| metrics.contains_key(&metric)) {
            return Err(ScorerError::SeriesTaken { server: server.clone(), metric }.into());
        }
        if self.series_count >= self.config.series_max {
            return Err(ScorerError::SeriesMax { max: self.config.series_max }.into());
        }
        let reference = SeasonalNaive::fit(past, self.config.step_length.steps_per_day());
        let counted = reference.filter(|reference| reference.change_share >= CHANGE_SHARE_MIN);
        self.series.entry(server.clone()).or_default().insert(metric, Series::new(counted));
        self.series_count += 1;
        Ok(())
    }

    /// Keeps a forecast until the values that it is about are known, or a forecast is recorded whose origin
    /// lies after all of them.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the series is unknown, the origin is not later than the last one or a
    /// level is missing; [`ErrorKind::LimitExceeded`] if too many steps wait.
    pub fn record_forecast(&mut self, forecast: &ScoredForecast<'_>) -> Result<(), Error> {
        let columns = scored_columns(forecast.levels)?;
        let steps = forecast.forecast.horizon().min(HORIZON_MAX);
        let (server, metric) = (forecast.server, forecast.forecast.metric);
        let series = self.series.get_mut(server).and_then(|metrics| metrics.get_mut(&metric));
        let Some(series) = series else {
            return Err(ScorerError::SeriesUnknown { server: server.clone(), metric }.into());
        };
        self.pending_steps -= series.give_up(forecast.origin);
        let (pending, max) = (self.pending_steps, self.config.pending_steps_max);
        if pending + steps > max {
            return Err(ScorerError::PendingMax { pending, steps, max }.into());
        }
        self.pending_steps += series.keep(forecast, columns, steps)?;
        Ok(())
    }

    /// Scores a realised value against every forecast that waits for it, and returns whether it was new.
    ///
    /// A value that is not finite, of an unknown series, or of a step not later than the last one of its
    /// series changes nothing, so that a repeated feed is harmless.
    pub fn record_realised(&mut self, server: &ServerName, metric: usize, step: Step, value: f64) -> bool {
        let series = self.series.get_mut(server).and_then(|metrics| metrics.get_mut(&metric));
        let Some(series) = series.filter(|_| value.is_finite()) else { return false };
        if series.newest_realised.is_some_and(|newest| step <= newest) {
            return false;
        }
        self.pending_steps -= series.realise(step, value);
        true
    }

    /// Returns the figures so far.
    pub fn summary(&self) -> QualitySummary {
        QualitySummary::new(self.series.values().flat_map(BTreeMap::values))
    }
}

impl Default for ScorerConfig {
    fn default() -> Self {
        Self { step_length: StepLength::FIVE_MINUTES, series_max: 65_536, pending_steps_max: 8_388_608 }
    }
}

impl From<ScorerError> for Error {
    fn from(error: ScorerError) -> Self {
        let kind = match error {
            ScorerError::Zero { .. } => ErrorKind::InvalidConfig,
            ScorerError::SeriesMax { .. } | ScorerError::PendingMax { .. } => ErrorKind::LimitExceeded,
            _ => ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

/// The columns of P10, P50 and P90.
fn scored_columns(levels: &QuantileLevels) -> Result<[usize; 3], Error> {
    let mut columns = [0; 3];
    for (column, level) in columns.iter_mut().zip(LEVELS) {
        *column = levels.nearest(Quantile::new(level)?);
        if (levels.as_slice()[*column].level() - level).abs() > LEVEL_TOLERANCE {
            return Err(ScorerError::LevelMissing { level }.into());
        }
    }
    Ok(columns)
}

/// A series that changes in a smaller share of its steps says nothing about a forecast.
const CHANGE_SHARE_MIN: f64 = 0.2;

/// Levels written as single-precision numbers are still the levels that they mean.
const LEVEL_TOLERANCE: f64 = 1e-6;

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::forecast::Method;
    use crate::schema::{Metric, MetricKind};

    fn server() -> ServerName {
        ServerName::new("db-7").unwrap()
    }

    /// Two days of hourly values 0, 1, 0, 1, … whose seasonal differences are all 0.
    fn past() -> Vec<f32> {
        (0..48).map(|at| (at % 2) as f32).collect()
    }

    fn scorer(pending_steps_max: usize) -> ForecastScorer {
        let step_length = StepLength::from_millis(3_600_000).unwrap();
        let mut scorer =
            ForecastScorer::new(ScorerConfig { step_length, series_max: 2, pending_steps_max }).unwrap();
        scorer.add_series(&server(), 0, &past()).unwrap();
        scorer
    }

    fn record(scorer: &mut ForecastScorer, origin: i64, row: [f32; 3], naive: f32) -> Result<(), Error> {
        let values = Array2::from_shape_fn((24, 3), |(_, level)| row[level]);
        let range = Metric::new("x", MetricKind::Continuous);
        scorer.record_forecast(&ScoredForecast {
            server: &server(),
            origin: Step(origin),
            forecast: &MetricForecast::new(0, Method::Tft, 0.0, values, &range),
            levels: &QuantileLevels::new(&[0.1, 0.5, 0.9]).unwrap(),
            seasonal_naive: &[naive; 24],
        })
    }

    #[test]
    fn relative_loss_is_the_ratio_of_pinball_losses() {
        let mut scorer = scorer(1000);
        record(&mut scorer, 0, [10.0, 10.0, 10.0], 30.0).unwrap();
        for step in 1..=24 {
            assert!(scorer.record_realised(&server(), 0, Step(step), 20.0));
        }
        let summary = scorer.summary();
        // Too low by 10 costs 10·(.1 + .5 + .9), too high by 10 costs 10·(.9 + .5 + .1).
        let rel_wql = summary.horizons.iter().map(|horizon| horizon.rel_wql.unwrap());
        assert!(rel_wql.into_iter().all(|value| (value - 1.0).abs() < 1e-12));
        assert_eq!(summary.horizons.iter().map(|h| h.values).collect::<Vec<_>>(), [6, 12, 24, 24]);
        assert_eq!(summary.horizons[0].coverage, Some(0.0));
        assert_eq!((summary.series, summary.forecasts, summary.crossings), (1, 1, 0));
    }

    #[test]
    fn repeated_and_missing_values_change_nothing() {
        let mut scorer = scorer(1000);
        record(&mut scorer, 0, [0.0, 1.0, 2.0], f32::NAN).unwrap();
        record(&mut scorer, 1, [0.0, 1.0, 2.0], 1.0).unwrap();
        assert!(scorer.record_realised(&server(), 0, Step(2), 1.0));
        assert!(!scorer.record_realised(&server(), 0, Step(2), 9.0));
        assert!(!scorer.record_realised(&server(), 0, Step(3), f64::NAN));
        assert!(!scorer.record_realised(&server(), 1, Step(3), 1.0));
        let horizon = &scorer.summary().horizons[0];
        assert_eq!((horizon.values, horizon.coverage), (1, Some(1.0)));
    }

    #[test]
    fn forecasts_leave_once_their_last_value_has_come() {
        let mut scorer = scorer(48);
        record(&mut scorer, 0, [0.0; 3], 0.0).unwrap();
        record(&mut scorer, 12, [0.0; 3], 0.0).unwrap();
        let error = record(&mut scorer, 13, [0.0; 3], 0.0).unwrap_err();
        assert!(error.is_limit_exceeded());
        insta::assert_snapshot!(error, @"scorer has 48 steps waiting and the forecast 24, `pending_steps_max` is 48");
        scorer.record_realised(&server(), 0, Step(24), 0.0);
        assert_eq!(scorer.pending_steps, 24);
        record(&mut scorer, 24, [0.0; 3], 0.0).unwrap();
    }

    #[test]
    fn forecasts_whose_values_never_come_are_given_up() {
        let mut scorer = scorer(48);
        for origin in 0..100 {
            record(&mut scorer, origin * 24, [0.0; 3], 0.0).unwrap();
            assert!(scorer.pending_steps <= 48);
        }
    }

    #[test]
    fn nearly_constant_series_are_left_out() {
        let mut scorer = scorer(1000);
        scorer.add_series(&server(), 1, &[5.0; 48]).unwrap();
        let summary = scorer.summary();
        assert_eq!((summary.series, summary.series_left_out), (0, 1));
        assert!(scorer.add_series(&server(), 2, &past()).unwrap_err().is_limit_exceeded());
    }

    #[test]
    fn contradictions_are_refused() {
        let mut scorer = scorer(1000);
        assert!(scorer.add_series(&server(), 0, &past()).unwrap_err().is_invalid_input());
        record(&mut scorer, 5, [0.0; 3], 0.0).unwrap();
        let error = record(&mut scorer, 5, [0.0; 3], 0.0).unwrap_err();
        insta::assert_snapshot!(error, @"forecast for server `db-7` has origin 5, not after the one before, 5");
        assert!(ForecastScorer::new(ScorerConfig { series_max: 0, ..ScorerConfig::default() }).is_err());
    }
}
