//! Layer normalisation and softmax over features, rows in the lanes.

use super::activation::exp_below_zero;
use crate::engine::simd::Simd;

/// The scale and shift of a layer normalisation.
#[derive(Debug, Clone)]
pub(crate) struct Norm {
    pub(crate) gamma: Vec<f32>,
    pub(crate) beta: Vec<f32>,
    pub(crate) epsilon: f32,
}

impl Norm {
    /// Normalises each row over its features, in place.
    #[inline(always)]
    pub(crate) fn apply<S: Simd, const R: usize>(&self, x: &mut [[S; R]]) {
        let (mean, inverse) = self.moments(x);
        for ((x, &gamma), &beta) in x.iter_mut().zip(&self.gamma).zip(&self.beta) {
            let (gamma, beta) = (S::splat(gamma), S::splat(beta));
            for r in 0..R {
                x[r] = x[r].sub(mean[r]).mul(inverse[r]).mul_add(gamma, beta);
            }
        }
    }

    /// The mean of each row and one over its deviation.
    #[inline(always)]
    fn moments<S: Simd, const R: usize>(&self, x: &[[S; R]]) -> ([S; R], [S; R]) {
        let share = S::splat(1.0 / x.len() as f32);
        let mut mean = [S::splat(0.0); R];
        for x in x {
            for r in 0..R {
                mean[r] = mean[r].add(x[r]);
            }
        }
        for mean in &mut mean {
            *mean = mean.mul(share);
        }
        let mut variance = [S::splat(0.0); R];
        for x in x {
            for r in 0..R {
                let distance = x[r].sub(mean[r]);
                variance[r] = distance.mul_add(distance, variance[r]);
            }
        }
        for variance in &mut variance {
            *variance = S::splat(1.0).div(variance.mul_add(share, S::splat(self.epsilon)).sqrt());
        }
        (mean, variance)
    }
}

/// Softmax of each row over its features, in place.
#[inline(always)]
pub(crate) fn softmax<S: Simd, const R: usize>(x: &mut [[S; R]]) {
    let mut largest = [S::splat(f32::NEG_INFINITY); R];
    for x in x.iter() {
        for r in 0..R {
            largest[r] = largest[r].max(x[r]);
        }
    }
    let mut sum = [S::splat(0.0); R];
    for x in x.iter_mut() {
        for r in 0..R {
            x[r] = exp_below_zero(x[r].sub(largest[r]));
            sum[r] = sum[r].add(x[r]);
        }
    }
    for sum in &mut sum {
        *sum = S::splat(1.0).div(*sum);
    }
    for x in x {
        for r in 0..R {
            x[r] = x[r].mul(sum[r]);
        }
    }
}
