//! Scores forecasts while the values that they were about arrive.
//!
//! Owns the pairing of forecasts with realised values, the sums per series and the [`QualitySummary`]. Its
//! memory is bounded by [`ScorerConfig`].

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use super::{LEVELS, SeasonalNaive, pinball_loss};
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

/// How good the scored forecasts were.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct QualitySummary {
    /// Forecasts recorded, of all series.
    pub forecasts: u64,
    /// Rows of these forecasts with P10, P50 and P90 out of order.
    pub crossings: u64,
    /// Series that count in the averages and have any value scored.
    pub series: usize,
    /// Series left out: they change in under 20 % of steps, or their past is too short to say.
    pub series_left_out: usize,
    /// The first 6, 12, 24 and 96 steps of the forecasts.
    pub horizons: Vec<HorizonQuality>,
}

/// How good the first steps of the scored forecasts were.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct HorizonQuality {
    /// How many steps.
    pub steps: usize,
    /// The forecasts' loss relative to seasonal naive's: below 1 is better. None before any value.
    ///
    /// Mean pinball loss of P10, P50 and P90 per series, divided by the same figure of seasonal naive,
    /// geometric mean over series. `spec/quality.md` first divides both by the series' mean absolute
    /// difference over a day, which cancels. A ratio counts as at least 10⁻⁶.
    pub rel_wql: Option<f64>,
    /// The share of realised values inside P10–P90, 0 to 1; none before any value.
    pub coverage: Option<f64>,
    /// How many realised values these figures rest on.
    pub values: u64,
}

#[derive(Debug, thiserror::Error)]
enum ScorerError {
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

/// One server's metric: its reference, its forecasts that wait, and its sums.
#[derive(Debug, Clone)]
struct Series {
    /// None if the series is left out of the averages.
    reference: Option<SeasonalNaive>,
    pending: VecDeque<Pending>,
    newest_origin: Option<Step>,
    newest_realised: Option<Step>,
    forecasts: u64,
    crossings: u64,
    sums: [Sums; HORIZONS.len()],
}

/// A forecast that waits for values: per step P10, P50, P90 and the reference's value.
#[derive(Debug, Clone)]
struct Pending {
    origin: Step,
    rows: Box<[[f32; 4]]>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    loss: f64,
    reference_loss: f64,
    inside: u64,
    count: u64,
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
        let all = || self.series.values().flat_map(BTreeMap::values);
        let counted: Vec<_> = all().filter(|series| series.reference.is_some()).collect();
        let scored = |series: &&&Series| series.sums.iter().any(|sums| sums.count > 0);
        QualitySummary {
            forecasts: all().map(|series| series.forecasts).sum(),
            crossings: all().map(|series| series.crossings).sum(),
            series: counted.iter().filter(scored).count(),
            series_left_out: self.series_count - counted.len(),
            horizons: (0..HORIZONS.len()).map(|index| horizon_quality(&counted, index)).collect(),
        }
    }
}

impl Default for ScorerConfig {
    fn default() -> Self {
        Self { step_length: StepLength::FIVE_MINUTES, series_max: 65_536, pending_steps_max: 8_388_608 }
    }
}

impl Series {
    fn new(reference: Option<SeasonalNaive>) -> Self {
        Self {
            reference,
            pending: VecDeque::new(),
            newest_origin: None,
            newest_realised: None,
            forecasts: 0,
            crossings: 0,
            sums: [Sums::default(); HORIZONS.len()],
        }
    }

    /// Takes a forecast in and returns how many of its steps now wait.
    fn keep(
        &mut self,
        scored: &ScoredForecast<'_>,
        columns: [usize; 3],
        steps: usize,
    ) -> Result<usize, ScorerError> {
        if let Some(newest) = self.newest_origin.filter(|&newest| scored.origin <= newest) {
            let (server, origin) = (scored.server.clone(), scored.origin.0);
            return Err(ScorerError::OriginOrder { server, origin, newest: newest.0 });
        }
        self.newest_origin = Some(scored.origin);
        self.forecasts += 1;
        let values = scored.forecast.values();
        let row = |step: usize| {
            let [low, median, high] = columns.map(|column| values[[step, column]]);
            [low, median, high, scored.seasonal_naive.get(step).copied().unwrap_or(f32::NAN)]
        };
        let rows: Box<[_]> = (0..steps).map(row).collect();
        self.crossings += rows.iter().filter(|row| row[0] > row[1] || row[1] > row[2]).count() as u64;
        if self.reference.is_none() {
            return Ok(0);
        }
        self.pending.push_back(Pending { origin: scored.origin, rows });
        Ok(steps)
    }

    /// Drops forecasts that were wholly about steps before `origin`, whose values never came, and returns
    /// how many of their steps wait no longer.
    fn give_up(&mut self, origin: Step) -> usize {
        self.release(|forecast| origin.since(forecast.origin) > forecast.rows.len() as i64)
    }

    /// Scores one value and returns how many steps of forecasts wait no longer.
    fn realise(&mut self, step: Step, value: f64) -> usize {
        self.newest_realised = Some(step);
        let Some(reference) = self.reference else { return 0 };
        for forecast in &self.pending {
            let ahead = step.since(forecast.origin);
            let row = usize::try_from(ahead - 1).ok().and_then(|index| forecast.rows.get(index));
            let Some(&row) = row.filter(|row| row[3].is_finite()) else { continue };
            let scored = Sums::of(row.map(f64::from), &reference, value);
            let reached = self.sums.iter_mut().zip(HORIZONS).filter(|(_, steps)| ahead <= *steps as i64);
            reached.for_each(|(sums, _)| sums.add(scored));
        }
        self.release(|forecast| step.since(forecast.origin) >= forecast.rows.len() as i64)
    }

    fn release(&mut self, is_done: impl Fn(&Pending) -> bool) -> usize {
        let mut released = 0;
        while let Some(done) = self.pending.pop_front_if(|forecast| is_done(forecast)) {
            released += done.rows.len();
        }
        released
    }
}

impl Sums {
    fn of([low, median, high, naive]: [f64; 4], reference: &SeasonalNaive, value: f64) -> Self {
        Self {
            loss: mean_pinball([low, median, high], value),
            reference_loss: mean_pinball(reference.quantiles(naive), value),
            inside: u64::from((low..=high).contains(&value)),
            count: 1,
        }
    }

    fn add(&mut self, other: Self) {
        self.loss += other.loss;
        self.reference_loss += other.reference_loss;
        self.inside += other.inside;
        self.count += other.count;
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

fn horizon_quality(counted: &[&Series], index: usize) -> HorizonQuality {
    let sums: Vec<_> =
        counted.iter().map(|series| series.sums[index]).filter(|sums| sums.count > 0).collect();
    let values: u64 = sums.iter().map(|sums| sums.count).sum();
    let inside: u64 = sums.iter().map(|sums| sums.inside).sum();
    let ratios = sums.iter().filter(|sums| sums.reference_loss > 0.0);
    let logarithms: Vec<_> = ratios.map(|s| (s.loss / s.reference_loss).max(RATIO_MIN).ln()).collect();
    let mean = logarithms.iter().sum::<f64>() / logarithms.len() as f64;
    HorizonQuality {
        steps: HORIZONS[index],
        rel_wql: (!logarithms.is_empty()).then(|| mean.exp()),
        coverage: (values > 0).then(|| inside as f64 / values as f64),
        values,
    }
}

fn mean_pinball(predicted: [f64; 3], realised: f64) -> f64 {
    let losses = LEVELS.iter().zip(predicted).map(|(&level, value)| pinball_loss(level, value, realised));
    losses.sum::<f64>() / LEVELS.len() as f64
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

/// The numbers of first steps over which the figures are taken.
const HORIZONS: [usize; 4] = [6, 12, 24, 96];

/// Steps after these are not scored.
const HORIZON_MAX: usize = HORIZONS[3];

/// A series that changes in a smaller share of its steps says nothing about a forecast.
const CHANGE_SHARE_MIN: f64 = 0.2;

/// A perfect forecast would have an infinite say in the geometric mean.
const RATIO_MIN: f64 = 1e-6;

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
