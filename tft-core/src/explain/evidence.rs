//! Why a metric stands out: what is measured on its past and its forecast, in one unit.
//!
//! Owns the scores by which metrics are ranked. Each kind of evidence is a surprisal, `−ln p`, in nats: how unlikely
//! would this be, if the metric were as usual? So they can be added up, and no unit of any metric matters.

use ndarray::ArrayView1;

use super::outlook::Outlook;
use crate::forecast::{MetricForecast, Quantile, QuantileLevels};
use crate::risk::{OwnHistory, share_beyond};
use crate::schema::BadSide;

/// Why a metric stands out.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Evidence {
    /// The newest values against what was forecast for them; none without a forecast or without values.
    pub surprise: Option<Surprise>,
    /// The newest values against the server's own history; none with less than a day of it.
    pub unusual: Option<Unusual>,
    /// What the forecast says about a threshold; none if no threshold is known.
    pub outlook: Option<Outlook>,
}

/// The newest values against the forecast that was made before them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Surprise {
    /// How many values are compared.
    pub steps: usize,
    /// How many of them lie above the P90.
    pub above: usize,
    /// How many of them lie below the P10.
    pub below: usize,
    /// The mean of `−ln p` over the values, each at most [`Evidence::NATS_MAX`]; `p` is the probability, by the
    /// forecast, of a value at least as far from the median on either side.
    pub nats: f64,
}

/// The newest values against the server's own history before them.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Unusual {
    /// How many values of history there are.
    pub history_steps: usize,
    /// The share of the history that is at least as far out as the newest value, on the side that `side` says.
    pub share_beyond: f64,
    /// On which side of its history's median the newest value lies.
    pub side: BadSide,
    /// The mean of `−ln p` over the newest values, each at most [`Evidence::NATS_MAX`]; `p` is the share of the
    /// history that is at least as far out on either side.
    pub nats: f64,
}

impl Evidence {
    /// Most nats that one value, or one forecast, can count for: about one chance in a thousand, which is what three
    /// days of five-minute steps can tell.
    pub const NATS_MAX: f64 = 7.0;

    /// Returns the sum of all evidence, in nats.
    pub fn score(&self) -> f64 {
        let parts = [
            self.surprise.as_ref().map(|surprise| surprise.nats),
            self.unusual.as_ref().map(|unusual| unusual.nats),
            self.outlook.as_ref().map(|outlook| outlook.nats),
        ];
        parts.into_iter().flatten().sum()
    }
}

impl Surprise {
    /// Compares values, NaN where missing, with the first steps of a forecast.
    pub(super) fn of(forecast: &MetricForecast, levels: &QuantileLevels, values: &[f32]) -> Option<Self> {
        let (low, high) = (levels.nearest(Quantile::P10), levels.nearest(Quantile::P90));
        let mut surprise = Self { steps: 0, above: 0, below: 0, nats: 0.0 };
        let rows = forecast.values();
        let known = rows.rows().into_iter().zip(values).filter(|(_, value)| !value.is_nan());
        for (row, &value) in known {
            surprise.steps += 1;
            surprise.above += usize::from(value > row[high]);
            surprise.below += usize::from(value < row[low]);
            surprise.nats += nats(two_sided(&row, levels, value));
        }
        (surprise.steps > 0).then(|| Self { nats: surprise.nats / surprise.steps as f64, ..surprise })
    }
}

impl Unusual {
    /// Compares values, NaN where missing, with the history before them.
    pub(super) fn of(history: &OwnHistory<'_>, metric: usize, values: &[f32]) -> Option<Self> {
        let known = values.iter().copied().filter(|value| !value.is_nan());
        let shares = |value: f32| {
            let high = history.share_beyond(metric, value, BadSide::High)?;
            let low = history.share_beyond(metric, value, BadSide::Low)?;
            Some(if low < high { (low, BadSide::Low) } else { (high, BadSide::High) })
        };
        let (share_beyond, side) = shares(known.clone().next_back()?)?;
        let each: Vec<f64> =
            known.filter_map(shares).map(|(share, _)| nats((2.0 * share).min(1.0))).collect();
        let nats = each.iter().sum::<f64>() / each.len() as f64;
        Some(Self { history_steps: history.count(metric), share_beyond, side, nats })
    }
}

/// Returns `−ln p`, at most [`Evidence::NATS_MAX`].
pub(super) fn nats(p: f64) -> f64 {
    // The logarithm of 1 is −0 after the sign.
    (-p.ln()).clamp(0.0, Evidence::NATS_MAX) + 0.0
}

/// The probability, by one step of a forecast, of a value at least as far from the median on either side.
fn two_sided(row: &ArrayView1<'_, f32>, levels: &QuantileLevels, value: f32) -> f64 {
    let value = f64::from(value);
    let high = share_beyond(row, levels, BadSide::High, value);
    let low = share_beyond(row, levels, BadSide::Low, value);
    (2.0 * high.min(low)).min(1.0)
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::forecast::Method;
    use crate::schema::{Metric, MetricKind};

    fn surprise(values: &[f32]) -> Option<Surprise> {
        let paths = Array2::from_shape_fn((4, 3), |(_, level)| [10.0_f32, 20.0, 30.0][level]);
        let range = Metric::new("x", MetricKind::Continuous);
        let forecast = MetricForecast::new(0, Method::Tft, 0.0, paths, &range);
        Surprise::of(&forecast, &QuantileLevels::new(&[0.1, 0.5, 0.9]).unwrap(), values)
    }

    #[test]
    fn values_are_as_surprising_as_they_are_improbable() {
        let nats = |value: f32| surprise(&[value]).unwrap().nats;
        assert!(nats(20.0).abs() < 1e-9);
        assert!((nats(30.0) - 5.0_f64.ln()).abs() < 1e-9 && (nats(10.0) - nats(30.0)).abs() < 1e-9);
        assert!(
            (nats(1e9) - Evidence::NATS_MAX).abs() < 1e-9 && (nats(-1e9) - Evidence::NATS_MAX).abs() < 1e-9
        );
    }

    #[test]
    fn missing_values_are_not_compared() {
        let found = surprise(&[f32::NAN, 31.0, 9.0, 20.0]).unwrap();
        assert_eq!((found.steps, found.above, found.below), (3, 1, 1));
        assert_eq!(surprise(&[f32::NAN; 4]), None);
    }

    #[test]
    fn certainty_and_impossibility_are_finite() {
        assert!(nats(1.0).abs() < 1e-9 && nats(1.0).is_sign_positive());
        assert!((nats(0.0) - Evidence::NATS_MAX).abs() < 1e-9);
    }
}
