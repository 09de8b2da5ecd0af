//! The figures that a scorer gives.

use serde::Serialize;

use super::series::{HORIZONS, Series};

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
    /// geometric mean over series. Dividing both by a scale of the
    /// series first, as is usual, would cancel. A ratio counts as at least 10⁻⁶.
    pub rel_wql: Option<f64>,
    /// The share of realised values inside P10–P90, 0 to 1; none before any value.
    pub coverage: Option<f64>,
    /// How many realised values these figures rest on.
    pub values: u64,
}

impl QualitySummary {
    /// Sums series up.
    pub(super) fn new<'a>(all: impl Iterator<Item = &'a Series> + Clone) -> Self {
        let counted: Vec<_> = all.clone().filter(|series| series.is_counted()).collect();
        Self {
            forecasts: all.clone().map(|series| series.forecasts).sum(),
            crossings: all.clone().map(|series| series.crossings).sum(),
            series: counted.iter().filter(|series| series.sums.iter().any(|sums| sums.count > 0)).count(),
            series_left_out: all.count() - counted.len(),
            horizons: (0..HORIZONS.len()).map(|index| horizon_quality(&counted, index)).collect(),
        }
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

/// A perfect forecast would have an infinite say in the geometric mean.
const RATIO_MIN: f64 = 1e-6;
