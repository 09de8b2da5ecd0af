//! The largest difference of an output, and how large it may be.

use std::fmt;

use ndarray::{ArrayD, IxDyn};

use super::Executor;

/// The largest difference between a computed and a recorded output.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct OutputDifference {
    /// What computed it.
    pub executor: Executor,
    /// The output's name.
    pub output: &'static str,
    /// How many numbers were compared.
    pub values: usize,
    /// The largest |found − recorded|; infinite where a computed number is not finite.
    pub largest_absolute: f64,
    /// The largest |found − recorded| / max(1, |recorded|).
    pub largest_relative: f64,
    /// How large a difference may be.
    pub tolerance: Tolerance,
}

/// How large a difference may be.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Tolerance {
    /// So much.
    Absolute(f64),
    /// So much times max(1, |recorded|).
    Relative(f64),
}

impl Tolerance {
    /// That of predictions and of the network's outputs.
    pub const PREDICTION: Self = Self::Relative(1e-4);
    /// That of attention and selection weights.
    pub const WEIGHT: Self = Self::Absolute(2e-5);
}

impl OutputDifference {
    pub(super) fn new(executor: Executor, output: &'static str, tolerance: Tolerance) -> Self {
        Self { executor, output, values: 0, largest_absolute: 0.0, largest_relative: 0.0, tolerance }
    }

    /// Takes the numbers at the indices that are valid into account; both arrays are of one shape.
    pub(super) fn add(
        &mut self,
        found: &ArrayD<f32>,
        recorded: &ArrayD<f64>,
        is_valid: &dyn Fn(&IxDyn) -> bool,
    ) {
        let pairs = found.indexed_iter().zip(recorded).filter(|((at, _), _)| is_valid(at));
        for ((_, &found), &recorded) in pairs {
            let difference = (f64::from(found) - recorded).abs();
            let absolute = if difference.is_nan() { f64::INFINITY } else { difference };
            self.values += 1;
            self.largest_absolute = self.largest_absolute.max(absolute);
            self.largest_relative = self.largest_relative.max(absolute / recorded.abs().max(1.0));
        }
    }

    /// Returns whether the largest difference is within the tolerance.
    pub fn is_within_tolerance(&self) -> bool {
        match self.tolerance {
            Tolerance::Absolute(allowed) => self.largest_absolute <= allowed,
            Tolerance::Relative(allowed) => self.largest_relative <= allowed,
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absolute(allowed) => write!(f, "{allowed:e}"),
            Self::Relative(allowed) => write!(f, "{allowed:e}·max(1, |y|)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::arr1;

    fn measured(found: &[f32], recorded: &[f64], tolerance: Tolerance) -> OutputDifference {
        let mut difference = OutputDifference::new(Executor::ALL[0], "y", tolerance);
        difference.add(&arr1(found).into_dyn(), &arr1(recorded).into_dyn(), &|at| at[0] < 2);
        difference
    }

    #[test]
    fn large_numbers_may_differ_by_more() {
        let difference = measured(&[1000.0625, 1.0, 7.0], &[1000.0, 1.0, 0.0], Tolerance::PREDICTION);
        assert_eq!((difference.values, difference.largest_absolute), (2, 0.0625));
        assert!(difference.is_within_tolerance());
        assert!(!measured(&[1000.0625], &[1000.0], Tolerance::WEIGHT).is_within_tolerance());
    }

    #[test]
    fn what_is_not_finite_is_never_within_tolerance() {
        for bad in [f32::NAN, f32::INFINITY] {
            let difference = measured(&[bad, 1.0], &[0.0, 1.0], Tolerance::PREDICTION);
            assert!(!difference.is_within_tolerance(), "{difference:?}");
        }
    }

    #[test]
    fn tolerances_are_written_as_formulas() {
        assert_eq!(Tolerance::WEIGHT.to_string(), "2e-5");
        assert_eq!(Tolerance::PREDICTION.to_string(), "1e-4·max(1, |y|)");
    }
}
