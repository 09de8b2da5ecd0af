//! The seasonal-naive reference: the same as a day before.

use crate::forecast::sample_quantile;

use super::LEVELS;

/// What the past of one series says about forecasting it by "the same as a day before".
///
/// # Units
/// Those of the series.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SeasonalNaive {
    /// What to add to the value of a day before for P10, P50 and P90: these quantiles of the differences
    /// over one day in the past. The same at every horizon up to a day, because so is the reference.
    pub band_offsets: [f64; 3],
    /// The mean absolute difference over one day, by which losses are scaled.
    pub mean_absolute_difference: f64,
    /// The share of steps whose value differs from the step before, 0 to 1.
    pub change_share: f64,
}

impl SeasonalNaive {
    /// Measures a series' past, oldest first, NaN where missing; `None` if no two known values are a day
    /// apart.
    ///
    /// # Units
    /// `steps_per_day` counts steps, and 0 is read as 1.
    pub fn fit(past: &[f32], steps_per_day: usize) -> Option<Self> {
        let mut differences = known_differences(past, steps_per_day.max(1));
        differences.sort_unstable_by(f64::total_cmp);
        let count = differences.len() as f64;
        let steps = known_differences(past, 1);
        let changed = steps.iter().filter(|&&difference| difference != 0.0).count();
        (count > 0.0).then(|| Self {
            band_offsets: LEVELS.map(|level| sample_quantile(level, &differences)),
            mean_absolute_difference: differences.iter().map(|value| value.abs()).sum::<f64>() / count,
            change_share: changed as f64 / steps.len().max(1) as f64,
        })
    }

    /// Returns P10, P50 and P90 of the reference where the value a day before is `value`.
    pub fn quantiles(&self, value: f64) -> [f64; 3] {
        self.band_offsets.map(|offset| value + offset)
    }
}

/// Forecasts each of the next `horizon` steps as the newest value at the same time of day; NaN where that is
/// missing.
///
/// # Units
/// Those of `history`, which ends at the origin, oldest first; `steps_per_day` 0 is read as 1.
pub fn seasonal_naive(history: &[f32], steps_per_day: usize, horizon: usize) -> Vec<f32> {
    let day = steps_per_day.max(1);
    let at_same_time = |ahead: usize| {
        let at = (history.len() + ahead).checked_sub(1 + ahead.div_ceil(day) * day)?;
        history.get(at).copied()
    };
    (1..=horizon).map(|ahead| at_same_time(ahead).unwrap_or(f32::NAN)).collect()
}

fn known_differences(values: &[f32], lag: usize) -> Vec<f64> {
    let pairs = values.iter().zip(values.iter().skip(lag));
    let known = pairs.filter(|(earlier, later)| earlier.is_finite() && later.is_finite());
    known.map(|(&earlier, &later)| f64::from(later) - f64::from(earlier)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_time_of_day_is_the_newest_one() {
        let history = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
        assert_eq!(seasonal_naive(&history, 4, 5), [3.0, 4.0, 5.0, 6.0, 3.0]);
        assert!(seasonal_naive(&[1.0], 4, 2).iter().all(|value| value.is_nan()));
    }

    #[test]
    fn the_past_gives_bands_scale_and_changes() {
        let past: Vec<f32> = (0..40).map(|at| (at / 4) as f32).collect();
        let reference = SeasonalNaive::fit(&past, 4).unwrap();
        assert!(reference.band_offsets.iter().all(|offset| (offset - 1.0).abs() < 1e-12));
        assert!((reference.mean_absolute_difference - 1.0).abs() < 1e-12);
        assert!((reference.change_share - 9.0 / 39.0).abs() < 1e-12);
        assert!(SeasonalNaive::fit(&past[..4], 4).is_none());
        assert!(SeasonalNaive::fit(&[f32::NAN; 9], 4).is_none());
    }
}
