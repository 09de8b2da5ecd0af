//! Conformal correction of quantiles.
//!
//! A network's bands may be too narrow or too wide on data that it did not see. Factors found on a
//! calibration part widen or narrow each quantile's distance from the median, per step of the horizon
//! (after Romano, Patterson and Candès 2019, "Conformalized Quantile Regression", in multiplicative form).

use ndarray::ArrayViewMut2;
use serde::{Deserialize, Serialize};

use super::architecture::Architecture;
use crate::problems::Problems;

/// Factors on each quantile's distance from the median.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// The quantile levels, those of the first target.
    pub quantiles: Vec<f64>,
    /// `[horizon][quantiles]`; 1 leaves a quantile as it is.
    pub factors: Vec<Vec<f64>>,
}

#[derive(Debug, thiserror::Error)]
enum CalibrationError {
    #[error("calibration.quantiles are {found:?}, the architecture has {expected:?}")]
    Quantiles { found: Vec<f64>, expected: Vec<f64> },
    #[error("calibration.factors of step {step} are {found:?}, expected {expected} numbers from 0 to 100")]
    Factors { step: usize, found: Vec<f64>, expected: usize },
    #[error("calibration.factors has no steps")]
    Empty,
}

impl Calibration {
    /// Applies the factors to one window's quantiles.
    ///
    /// # Shapes
    /// `quantiles` `[horizon, quantiles]`; steps beyond the last factor use the last.
    pub(crate) fn apply(&self, mut quantiles: ArrayViewMut2<'_, f64>) {
        let median = nearest_to_median(&self.quantiles);
        for (step, mut row) in quantiles.rows_mut().into_iter().enumerate() {
            let factors = &self.factors[step.min(self.factors.len() - 1)];
            let center = row[median];
            for (value, factor) in row.iter_mut().zip(factors) {
                *value = center + factor * (*value - center);
            }
        }
    }

    /// Collects what is wrong with the factors for a network whose own shape is in order.
    pub(super) fn check(&self, architecture: &Architecture, problems: &mut Problems) {
        let expected = &architecture.quantiles[0];
        if self.quantiles != *expected {
            let (found, expected) = (self.quantiles.clone(), expected.clone());
            problems.push(CalibrationError::Quantiles { found, expected });
        }
        if self.factors.is_empty() {
            problems.push(CalibrationError::Empty);
        }
        let expected = expected.len();
        let is_valid =
            |row: &Vec<f64>| row.len() == expected && row.iter().all(|factor| (0.0..=100.0).contains(factor));
        for (step, found) in self.factors.iter().enumerate().filter(|(_, row)| !is_valid(row)) {
            problems.push(CalibrationError::Factors { step, found: found.clone(), expected });
        }
    }
}

/// Returns the position of the level nearest to one half.
fn nearest_to_median(levels: &[f64]) -> usize {
    let distance = |index: &usize| (levels[*index] - 0.5).abs();
    (0..levels.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn factors_scale_the_distance_from_the_median() {
        let calibration = Calibration { quantiles: vec![0.1, 0.5, 0.9], factors: vec![vec![2.0, 1.0, 0.5]] };
        let mut quantiles = array![[1.0, 2.0, 4.0], [0.0, 1.0, 3.0]];
        calibration.apply(quantiles.view_mut());
        assert_eq!(quantiles, array![[0.0, 2.0, 3.0], [-1.0, 1.0, 2.0]]);
    }
}
