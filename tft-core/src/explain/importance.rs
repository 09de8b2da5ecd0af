//! How much each variable of a selection network counts.

use ndarray::{Array1, Array2, Array3, ArrayView1, Axis, s};

/// The importance of variables in each window.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Importance {
    /// The variables in the network's order: categoricals first, then reals.
    pub variables: Vec<String>,
    /// `[windows, variables]`: selection weights; those of a window sum to 1.
    pub weights: Array2<f32>,
}

impl Importance {
    pub(super) fn new(variables: Vec<String>, weights: Array2<f32>) -> Self {
        Self { variables, weights }
    }

    /// Averages weights `[windows, steps, variables]` over each window's valid steps.
    pub(super) fn averaged(variables: Vec<String>, weights: &Array3<f32>, lengths: &[usize]) -> Self {
        let (windows, _, count) = weights.dim();
        let mut averages = Array2::zeros((windows, count));
        for ((window, mut average), &length) in averages.outer_iter_mut().enumerate().zip(lengths) {
            average.assign(&weights.slice(s![window, ..length, ..]).sum_axis(Axis(0)));
            average /= length as f32;
        }
        Self::new(variables, averages)
    }

    /// Returns the sums over windows, `[variables]`.
    pub fn total(&self) -> Array1<f32> {
        self.weights.sum_axis(Axis(0))
    }

    /// Returns the variables and their shares in all windows, the most important first; shares sum to 1.
    pub fn ranked(&self) -> Vec<(&str, f32)> {
        self.rank(&self.total().view())
    }

    /// Returns the variables and their shares in one window, the most important first; shares sum to 1.
    ///
    /// None if there is no such window.
    pub fn ranked_in(&self, window: usize) -> Option<Vec<(&str, f32)>> {
        (window < self.weights.nrows()).then(|| self.rank(&self.weights.row(window)))
    }

    fn rank(&self, weights: &ArrayView1<'_, f32>) -> Vec<(&str, f32)> {
        let sum = weights.sum();
        let share = |weight: &f32| if sum > 0.0 { weight / sum } else { 0.0 };
        let names = self.variables.iter().map(String::as_str);
        let mut ranked: Vec<_> = names.zip(weights.iter().map(share)).collect();
        ranked.sort_by(|a, b| b.1.total_cmp(&a.1));
        ranked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::{arr2, arr3};

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn padded_steps_do_not_count() {
        let weights = arr3(&[[[0.25, 0.75], [0.5, 0.5]], [[1.0, 0.0], [9.0, 9.0]]]);
        let importance = Importance::averaged(names(&["a", "b"]), &weights, &[2, 1]);
        assert_eq!(importance.weights, arr2(&[[0.375, 0.625], [1.0, 0.0]]));
    }

    #[test]
    fn shares_are_ranked() {
        let importance = Importance::new(names(&["a", "b"]), arr2(&[[0.25, 0.75], [0.0, 1.0]]));
        assert_eq!(importance.ranked(), [("b", 0.875), ("a", 0.125)]);
        assert_eq!(importance.ranked_in(0).unwrap(), [("b", 0.75), ("a", 0.25)]);
        assert!(importance.ranked_in(2).is_none());
    }

    #[test]
    fn no_variables_have_no_ranks() {
        let importance = Importance::new(Vec::new(), Array2::zeros((3, 0)));
        assert_eq!((importance.ranked(), importance.total().len()), (Vec::new(), 0));
    }
}
