//! How good forecasts were, once the values are known.
//!
//! Owns the loss functions, the seasonal-naive reference and the [`ForecastScorer`] that an application
//! feeds while it replays or runs. Makes no forecasts of the product's own and reads no files.

mod scorer;
mod seasonal;
mod series;
mod summary;

use ndarray::ArrayView2;

pub use scorer::{ForecastScorer, ScoredForecast, ScorerConfig};
pub use seasonal::{SeasonalNaive, seasonal_naive};
pub use summary::{HorizonQuality, QualitySummary};

/// Returns the pinball loss `max(q·e, (q − 1)·e)` of a predicted quantile, `e = realised − predicted`
/// (Koenker and Bassett 1978).
///
/// # Units
/// Those of the values; `level` is the quantile's, between 0 and 1.
///
/// # Examples
/// ```
/// let too_low = tft_core::quality::pinball_loss(0.9, 10.0, 20.0);
/// let too_high = tft_core::quality::pinball_loss(0.9, 20.0, 10.0);
/// assert!((too_low - 9.0).abs() < 1e-12 && (too_high - 1.0).abs() < 1e-12);
/// ```
pub fn pinball_loss(level: f64, predicted: f64, realised: f64) -> f64 {
    let error = realised - predicted;
    (level * error).max((level - 1.0) * error)
}

/// Returns how many rows of a forecast have quantiles that are out of order.
///
/// # Shapes
/// `values` is `[horizon, quantiles]`, levels ascending.
pub fn crossings(values: &ArrayView2<'_, f32>) -> usize {
    let crosses = |row: &ndarray::ArrayView1<'_, f32>| row.iter().zip(row.iter().skip(1)).any(|(a, b)| a > b);
    values.rows().into_iter().filter(crosses).count()
}

/// The levels that are scored: P10, P50 and P90.
const LEVELS: [f64; 3] = [0.1, 0.5, 0.9];

#[cfg(test)]
mod tests {
    use ndarray::array;

    #[test]
    fn rows_out_of_order_are_counted() {
        let values = array![[1.0_f32, 2.0, 3.0], [1.0, 1.0, 1.0], [2.0, 1.0, 3.0], [1.0, 3.0, 2.0]];
        assert_eq!(super::crossings(&values.view()), 2);
    }
}
