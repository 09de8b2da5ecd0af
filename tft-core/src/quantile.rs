//! Quantile levels: probabilities between 0 and 1, in ascending order.

use std::sync::Arc;

use crate::error::{Error, ErrorKind};

/// A probability strictly between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Quantile(f64);

/// The quantile levels of a forecast, strictly ascending; cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct QuantileLevels(Arc<[Quantile]>);

#[derive(Debug, thiserror::Error)]
enum QuantileError {
    #[error("quantile {level} is not strictly between 0 and 1")]
    OutOfRange { level: f64 },
    #[error("quantiles {levels:?} are not strictly ascending")]
    NotAscending { levels: Vec<f64> },
}

impl Quantile {
    /// The median.
    pub const MEDIAN: Self = Self(0.5);
    /// The tenth percentile.
    pub const P10: Self = Self(0.1);
    /// The ninetieth percentile.
    pub const P90: Self = Self(0.9);

    /// Checks and wraps a level.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] unless `0 < level < 1`.
    pub fn new(level: f64) -> Result<Self, Error> {
        if level > 0.0 && level < 1.0 {
            Ok(Self(level))
        } else {
            Err(QuantileError::OutOfRange { level }.into())
        }
    }

    /// Returns the level, between 0 and 1.
    pub fn level(self) -> f64 {
        self.0
    }

    /// Returns the conventional short name: `p50`, `p2.5`.
    pub fn label(self) -> String {
        let percent = (self.0 * 1e8).round() / 1e6;
        format!("p{percent}")
    }
}

impl QuantileLevels {
    /// Checks levels.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidConfig`] if there is none, one is out of range, or they do not ascend.
    pub fn new(levels: &[f64]) -> Result<Self, Error> {
        if levels.is_empty() || levels.windows(2).any(|pair| pair[0] >= pair[1]) {
            return Err(QuantileError::NotAscending { levels: levels.to_vec() }.into());
        }
        let levels: Result<Vec<_>, _> = levels.iter().map(|&level| Quantile::new(level)).collect();
        Ok(Self(levels?.into()))
    }

    /// Returns the levels in ascending order.
    pub fn as_slice(&self) -> &[Quantile] {
        &self.0
    }

    /// Returns the number of levels.
    #[expect(clippy::len_without_is_empty, reason = "there is always at least one level")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns the position of the level nearest to `quantile`.
    pub fn nearest(&self, quantile: Quantile) -> usize {
        let distance = |index: &usize| (self.0[*index].0 - quantile.0).abs();
        (0..self.0.len()).min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0)
    }
}

impl From<QuantileError> for Error {
    fn from(error: QuantileError) -> Self {
        Self::new(ErrorKind::InvalidConfig, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_must_ascend_inside_the_unit_interval() {
        assert!(QuantileLevels::new(&[0.1, 0.5, 0.9]).is_ok());
        for levels in [&[][..], &[0.5, 0.5], &[0.9, 0.1], &[0.0, 0.5], &[f64::NAN]] {
            assert!(QuantileLevels::new(levels).is_err(), "{levels:?}");
        }
    }

    #[test]
    fn labels_are_the_usual_ones() {
        let labels: Vec<_> =
            [0.02, 0.1, 0.5, 0.975].iter().map(|&q| Quantile::new(q).unwrap().label()).collect();
        assert_eq!(labels, ["p2", "p10", "p50", "p97.5"]);
    }
}
