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

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::engine::kernels::near::{
        GroupKernel, Near, Numbers, ROWS, WIDTHS, assert_twins, from_lanes, into_lanes, near,
    };

    impl Norm {
        pub(in crate::engine::kernels) fn random(width: usize, numbers: &mut Numbers) -> Self {
            let gamma = numbers.take(width, 0.5).into_iter().map(|gamma| 1.0 + gamma).collect();
            Self { gamma, beta: numbers.take(width, 0.5), epsilon: 1e-5 }
        }

        /// The twin of [`Norm::apply`]: the layer norm of eq. 2, with the biased variance.
        pub(in crate::engine::kernels) fn of_row(&self, x: &[Near]) -> Vec<Near> {
            let share = Near::from(x.len() as f32).inverse();
            let mean = Near::sum(x.iter().copied()) * share;
            // The mean of one number is that number, whatever it may be off by.
            let distance = |&x: &Near| if self.gamma.len() == 1 { 0.0.into() } else { x - mean };
            let distances = x.iter().map(distance);
            let squares = distances.clone().map(|distance| distance * distance);
            let variance = Near::sum(squares) * share;
            let inverse = (variance + self.epsilon.into()).sqrt().inverse();
            let scaled = distances.zip(&self.gamma).zip(&self.beta);
            scaled.map(|((x, &gamma), &beta)| x * inverse * gamma.into() + beta.into()).collect()
        }
    }

    struct Normalize<'a>(&'a Norm);

    struct Softmax;

    impl GroupKernel for Normalize<'_> {
        #[inline(always)]
        fn run<S: Simd, const R: usize>(&self, rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
            let mut x = into_lanes::<S, R>(rows);
            self.0.apply(&mut x);
            from_lanes(&x)
        }
    }

    impl GroupKernel for Softmax {
        #[inline(always)]
        fn run<S: Simd, const R: usize>(&self, rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
            let mut x = into_lanes::<S, R>(rows);
            softmax(&mut x);
            from_lanes(&x)
        }
    }

    /// The twin of [`softmax`]: eq. 6.
    pub(in crate::engine::kernels) fn softmax_of_row(x: &[Near]) -> Vec<Near> {
        let by_value = |x: &Near, y: &Near| x.value.total_cmp(&y.value);
        let largest = x.iter().copied().max_by(by_value).unwrap();
        let powers: Vec<Near> = x.iter().map(|&x| (x - largest).exp()).collect();
        let inverse = Near::sum(powers.iter().copied()).inverse();
        powers.into_iter().map(|power| power * inverse).collect()
    }

    #[test]
    fn a_layer_norm_is_its_formula() {
        let mut numbers = Numbers(3);
        for &width in WIDTHS {
            let norm = Norm::random(width, &mut numbers);
            let rows = numbers.rows(ROWS, width, 2.0);
            assert_twins(&format!("{width}"), &Normalize(&norm), &rows, |row| norm.of_row(&near(row)));
        }
    }

    #[test]
    fn a_row_of_equal_values_becomes_the_shift() {
        let norm = Norm::random(5, &mut Numbers(4));
        let rows: Vec<_> = (0..ROWS).map(|row| vec![row as f32 / 8.0; 5]).collect();
        assert_twins("equal", &Normalize(&norm), &rows, |_| near(&norm.beta));
    }

    #[test]
    fn a_softmax_is_its_formula() {
        let mut numbers = Numbers(6);
        for spread in [0.1, 3.0, 200.0] {
            for &width in WIDTHS {
                let rows = numbers.rows(ROWS, width, spread);
                assert_twins(&format!("{width}"), &Softmax, &rows, |row| softmax_of_row(&near(row)));
            }
        }
    }
}
