//! The statistical fallback: the last value, decaying to the usual value of the time of day.
//!
//! Owns [`fallback_forecast`], which needs no model and little history. Its numbers are raw: they may leave a
//! metric's valid range, which [`MetricForecast::new`](super::MetricForecast::new) mends.

use std::cmp::Ordering;

use ndarray::Array2;

use super::{Quantile, QuantileLevels};

/// Forecasts one series from its own history, or returns `None` if no value of it is known.
///
/// `history` ends at the origin, oldest first; NaN (and anything not finite) means missing. Row `h − 1` of
/// the result is the forecast `h` steps after the origin.
///
/// With more than a day of history the forecast is `y(t+h) = s(h) + (y(t) − s(0))·exp(−h/τ)`,
/// where `s` is the mean of the same time of day over the last up to three days
/// and `τ` is two hours. Around it lie the quantiles of the errors that the same formula made from recent
/// origins inside the history; where too few such errors are known, those of a first-order
/// autoregression with the same `τ` whose single-step errors are the differences between neighbouring
/// steps. With less history it is the last value, with the quantiles of those differences times `√h`.
///
/// A value that is missing at the origin counts as last seen where it was, so its deviation has decayed
/// (or its uncertainty has grown) by that many steps more. A constant series has bands of width zero, and
/// so has a single value. The median level is the formula itself: errors move the other levels away from
/// it, never across it.
///
/// # Shapes
/// `[horizon, levels]`; rows ascend.
///
/// # Units
/// Those of `history`; `steps_per_day` counts steps, and 0 is read as 1.
///
/// # Performance
/// One pass over `history`, then at most 96 past forecasts of about two horizons per octave: tens of
/// microseconds for three days of five-minute steps and eight hours ahead.
pub fn fallback_forecast(
    history: &[f32],
    steps_per_day: usize,
    horizon: usize,
    levels: &QuantileLevels,
) -> Option<Array2<f32>> {
    let series = Series::new(history, steps_per_day.max(1))?;
    let centre = series.centre(horizon);
    let spread = Spread::new(&series, series.age + horizon, centre.is_some(), levels);
    let mut values = Array2::zeros((horizon, levels.len()));
    for (index, mut row) in values.rows_mut().into_iter().enumerate() {
        let centre = centre.as_ref().map_or(series.last, |centre| centre[index]);
        let (anchor, share) = spread.locate(series.age + index + 1);
        for (level, value) in row.iter_mut().enumerate() {
            *value = to_finite(centre + spread.offset(anchor, share, level));
        }
    }
    Some(values)
}

/// A history cut to what is known of it: it starts and ends with a finite value.
struct Series<'a> {
    values: &'a [f32],
    steps_per_day: usize,
    /// Position of the newest known value.
    origin: usize,
    /// Its value.
    last: f64,
    /// Steps from there to the origin that the caller means.
    age: usize,
}

/// The quantiles of the errors around the centre, at a few horizons; interpolated between them.
struct Spread {
    /// Ascending horizons, the first 1.
    anchors: Vec<usize>,
    /// `[anchors, levels]`, each row ascending.
    offsets: Vec<f64>,
    levels: usize,
}

impl<'a> Series<'a> {
    fn new(history: &'a [f32], steps_per_day: usize) -> Option<Self> {
        let first = history.iter().position(|value| value.is_finite())?;
        let newest = history.iter().rposition(|value| value.is_finite())?;
        Some(Self {
            values: &history[first..=newest],
            steps_per_day,
            origin: newest - first,
            last: f64::from(history[newest]),
            age: history.len() - 1 - newest,
        })
    }

    fn value(&self, at: usize) -> Option<f64> {
        self.values.get(at).filter(|value| value.is_finite()).map(|&value| f64::from(value))
    }

    /// The formula's path for the caller's horizon, or none if under half of the times of day are known.
    ///
    /// A time of day that is not known takes the usual value of the one before it.
    fn centre(&self, horizon: usize) -> Option<Vec<f64>> {
        let aheads = std::iter::once(0).chain(self.age + 1..=self.age + horizon);
        let usual: Vec<_> = aheads.map(|ahead| self.usual(self.origin, ahead)).collect();
        let known = usual.iter().flatten().count();
        let mut carried = usual.iter().flatten().next().copied()?;
        if known * 2 < usual.len() {
            return None;
        }
        let deviation = self.last - usual[0].unwrap_or(carried);
        let path = usual[1..].iter().enumerate().map(|(index, usual)| {
            carried = usual.unwrap_or(carried);
            carried + deviation * self.decay(self.age + index + 1)
        });
        Some(path.collect())
    }

    /// The mean of the same time of day as `ahead` steps after `origin`, over the days up to `origin`.
    ///
    /// The days are the same for every `ahead`: were `s(0)` and `s(h)` means of different days, the
    /// difference between the days would pass for a deviation. A day that lacks just the step before its
    /// first one counts, so that a window of whole days uses them all.
    fn usual(&self, origin: usize, ahead: usize) -> Option<f64> {
        let day = self.steps_per_day;
        let days = ((origin + 1) / day).min(PROFILE_DAYS);
        let newest = ahead.div_ceil(day).max(1);
        let positions = (newest..newest + days).map(|back| (origin + ahead).saturating_sub(back * day));
        let known = positions.filter_map(|at| self.value(at));
        let (sum, count) = known.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
        (count > 0).then(|| sum / f64::from(count))
    }

    /// `exp(−steps/τ)`.
    fn decay(&self, steps: usize) -> f64 {
        (-(steps as f64) * DECAYS_PER_DAY / self.steps_per_day as f64).exp()
    }

    /// Ascending errors of the formula at each anchor, from past origins of the last days.
    fn past_errors(&self, anchors: &[usize]) -> Vec<Vec<f64>> {
        let first = self.steps_per_day.max(self.origin.saturating_sub(RESIDUAL_DAYS * self.steps_per_day));
        let stride = self.origin.saturating_sub(first).div_ceil(ORIGINS_MAX).max(1);
        let decays: Vec<_> = anchors.iter().map(|&ahead| self.decay(ahead)).collect();
        let mut errors = vec![Vec::with_capacity(ORIGINS_MAX); anchors.len()];
        for origin in (first..self.origin).step_by(stride) {
            let Some((value, usual)) = self.value(origin).zip(self.usual(origin, 0)) else { continue };
            for ((&ahead, &decay), errors) in anchors.iter().zip(&decays).zip(&mut errors) {
                let Some(realised) = self.value(origin + ahead) else { continue };
                let Some(then_usual) = self.usual(origin, ahead) else { continue };
                errors.push(realised - (then_usual + (value - usual) * decay));
            }
        }
        for errors in &mut errors {
            errors.sort_unstable_by(f64::total_cmp);
        }
        errors
    }

    /// Ascending differences between neighbouring steps of the last day.
    fn step_differences(&self) -> Vec<f64> {
        let recent = &self.values[self.values.len().saturating_sub(self.steps_per_day + 1)..];
        let pairs = recent.windows(2).filter(|pair| pair[0].is_finite() && pair[1].is_finite());
        let mut differences: Vec<_> = pairs.map(|pair| f64::from(pair[1]) - f64::from(pair[0])).collect();
        differences.sort_unstable_by(f64::total_cmp);
        differences
    }
}

impl Spread {
    fn new(series: &Series<'_>, horizon: usize, decays: bool, levels: &QuantileLevels) -> Self {
        let anchors = anchors(horizon);
        let errors = if decays { series.past_errors(&anchors) } else { vec![Vec::new(); anchors.len()] };
        let differences = series.step_differences();
        let decay = if decays { series.decay(1) } else { 1.0 };
        let mut offsets = Vec::with_capacity(anchors.len() * levels.len());
        for (&ahead, errors) in anchors.iter().zip(&errors) {
            let enough = errors.len() >= RESIDUALS_MIN;
            let (sample, scale) = if enough { (errors, 1.0) } else { (&differences, growth(decay, ahead)) };
            let offset = |level: &Quantile| scale * away_from_median(level.level(), sample);
            offsets.extend(levels.as_slice().iter().map(offset));
        }
        Self { anchors, offsets, levels: levels.len() }
    }

    /// The anchor at or before a horizon, and how far on the way to the next one it lies.
    fn locate(&self, ahead: usize) -> (usize, f64) {
        let anchor = self.anchors.partition_point(|&anchor| anchor <= ahead).saturating_sub(1);
        let (Some(&from), Some(&to)) = (self.anchors.get(anchor), self.anchors.get(anchor + 1)) else {
            return (anchor, 0.0);
        };
        (anchor, (ahead - from) as f64 / (to - from) as f64)
    }

    fn offset(&self, anchor: usize, share: f64, level: usize) -> f64 {
        let from = self.offsets[anchor * self.levels + level];
        let to = self.offsets.get((anchor + 1) * self.levels + level).unwrap_or(&from);
        from + share * (to - from)
    }
}

/// Horizons at which to estimate the bands: 1, 2, 3, 4, 6, 8, 12, 16, … and the last one.
fn anchors(horizon: usize) -> Vec<usize> {
    let octaves = (0..usize::BITS - 1).map(|octave| 1_usize << octave);
    let halves = octaves.flat_map(|start| [start, start + start / 2]).filter(|&anchor| anchor != 0);
    let mut anchors: Vec<_> = halves.take_while(|&anchor| anchor < horizon).collect();
    anchors.push(horizon.max(1));
    anchors.dedup();
    anchors
}

/// The standard deviation after `ahead` steps of an autoregression with factor `decay`, in units of one
/// step's: `√((1 − φ²ʰ)/(1 − φ²))`, which is `√h` without decay (Hamilton, Time Series Analysis, eq. 4.2.18).
fn growth(decay: f64, ahead: usize) -> f64 {
    let squared = decay * decay;
    if squared < 1.0 {
        ((1.0 - squared.powf(ahead as f64)) / (1.0 - squared)).sqrt()
    } else {
        (ahead as f64).sqrt()
    }
}

/// The sample's quantile at `level`, or 0 if that lies on the other side of the median than `level`.
fn away_from_median(level: f64, ascending: &[f64]) -> f64 {
    const MEDIAN: f64 = 0.5;
    let value = sample_quantile(level, ascending);
    match level.total_cmp(&MEDIAN) {
        Ordering::Less => value.min(0.0),
        Ordering::Equal => 0.0,
        Ordering::Greater => value.max(0.0),
    }
}

/// The quantile of an ascending sample by linear interpolation at `(n + 1)·p`, which is unbiased for small
/// samples (Hyndman and Fan 1996, type 6); 0 for an empty one.
pub(crate) fn sample_quantile(level: f64, ascending: &[f64]) -> f64 {
    let Some(newest) = ascending.len().checked_sub(1) else { return 0.0 };
    let position = (level * (ascending.len() + 1) as f64 - 1.0).clamp(0.0, newest as f64);
    let below = position as usize;
    let above = (below + 1).min(newest);
    ascending[below] + (position - below as f64) * (ascending[above] - ascending[below])
}

fn to_finite(value: f64) -> f32 {
    value.clamp(f64::from(f32::MIN), f64::from(f32::MAX)) as f32
}

/// The days whose mean is the usual value of a time of day.
const PROFILE_DAYS: usize = 3;

/// Past origins no older than this are asked for their errors.
const RESIDUAL_DAYS: usize = 3;

/// Most past origins whose errors make the bands.
const ORIGINS_MAX: usize = 96;

/// Fewer errors than this say too little of their distribution.
const RESIDUALS_MIN: usize = 12;

/// How often the decay time `τ`, two hours, fits in a day.
const DECAYS_PER_DAY: f64 = 12.0;

#[cfg(test)]
mod tests {
    use super::*;

    use proptest::prelude::*;

    fn levels() -> QuantileLevels {
        QuantileLevels::new(&[0.02, 0.1, 0.5, 0.9, 0.98]).unwrap()
    }

    fn daily_wave(steps: usize) -> Vec<f32> {
        (0..steps).map(|at| 50.0 + 20.0 * (at as f32 / 288.0 * std::f32::consts::TAU).sin()).collect()
    }

    #[test]
    fn a_history_without_values_has_no_forecast() {
        assert!(fallback_forecast(&[], 288, 4, &levels()).is_none());
        assert!(fallback_forecast(&[f32::NAN; 9], 288, 4, &levels()).is_none());
        assert_eq!(fallback_forecast(&[1.0], 288, 0, &levels()).unwrap().dim(), (0, 5));
    }

    #[test]
    fn a_constant_series_has_bands_of_width_zero() {
        for steps in [1, 100, 288, 289, 912] {
            let values = fallback_forecast(&vec![7.5; steps], 288, 96, &levels()).unwrap();
            assert!(values.iter().all(|&value| (value - 7.5).abs() < 1e-6), "{steps} steps");
        }
    }

    #[test]
    fn a_deviation_decays_to_the_usual_value_of_the_time_of_day() {
        let mut history = daily_wave(912);
        history[911] += 10.0;
        let values = fallback_forecast(&history, 288, 96, &levels()).unwrap();
        let usual = daily_wave(912 + 96);
        for ahead in [1, 6, 24, 96] {
            let expected = usual[911 + ahead] + 10.0 * (-(ahead as f32) / 24.0).exp();
            assert!((values[[ahead - 1, 2]] - expected).abs() < 1e-3, "{ahead} steps ahead");
        }
    }

    #[test]
    fn a_horizon_beyond_a_day_uses_whole_days_back() {
        let values = fallback_forecast(&daily_wave(912), 288, 600, &levels()).unwrap();
        let usual = daily_wave(912 + 600);
        assert!((0..600).all(|index| (values[[index, 2]] - usual[912 + index]).abs() < 1e-2));
    }

    #[test]
    fn under_a_day_the_bands_grow_with_the_root_of_time() {
        let history: Vec<f32> = (0..200).map(|at| if at % 2 == 0 { 10.0 } else { 11.0 }).collect();
        let values = fallback_forecast(&history, 288, 16, &levels()).unwrap();
        assert!((values[[0, 2]] - 11.0).abs() < 1e-6 && (values[[15, 2]] - 11.0).abs() < 1e-6);
        let width = |index: usize| values[[index, 3]] - values[[index, 1]];
        assert!((width(15) / width(0) - 4.0).abs() < 1e-4);
    }

    #[test]
    fn a_missing_newest_value_counts_as_older() {
        let mut history = daily_wave(912);
        history[905] += 10.0;
        history[906..].fill(f32::NAN);
        let late = fallback_forecast(&history, 288, 12, &levels()).unwrap();
        let early = fallback_forecast(&history[..906], 288, 18, &levels()).unwrap();
        for index in 0..12 {
            assert!((late[[index, 2]] - early[[index + 6, 2]]).abs() < 1e-4);
        }
    }

    #[test]
    fn bands_cover_what_they_say_on_autoregressive_noise() {
        let mut state = 7_u64;
        let mut noise = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1_u64 << 24) as f32 - 0.5
        };
        let mut series = vec![0.0_f32; 4000];
        for at in 1..series.len() {
            series[at] = 0.96 * series[at - 1] + noise();
        }
        let (mut inside, mut count) = (0, 0);
        for origin in (912..3900).step_by(50) {
            let values = fallback_forecast(&series[origin - 912..origin], 288, 96, &levels()).unwrap();
            let realised = &series[origin..origin + 96];
            inside += (0..96).filter(|&h| (values[[h, 1]]..=values[[h, 3]]).contains(&realised[h])).count();
            count += 96;
        }
        let coverage = inside as f64 / f64::from(count);
        assert!((0.70..0.92).contains(&coverage), "coverage {coverage}");
    }

    proptest! {
        #[test]
        fn forecasts_are_finite_and_their_quantiles_ascend(
            history in prop::collection::vec(
                prop_oneof![4 => -1e3_f32..1e3, 1 => Just(f32::NAN), 1 => Just(f32::MAX), 1 => Just(f32::MIN)],
                1..200,
            ),
            steps_per_day in 0_usize..60,
            horizon in 0_usize..100,
        ) {
            let known = history.iter().any(|value| value.is_finite());
            let forecast = fallback_forecast(&history, steps_per_day, horizon, &levels());
            prop_assert_eq!(forecast.is_some(), known);
            for row in forecast.iter().flat_map(|values| values.rows()) {
                prop_assert!(row.iter().all(|value| value.is_finite()));
                prop_assert!(row.windows(2).into_iter().all(|pair| pair[0] <= pair[1]));
            }
        }
    }
}
