//! Exponential, logistic, hyperbolic tangent and exponential linear unit of vectors.
//!
//! `exp(x) = 2^n·exp(r)` with `n = round(x/ln 2)` and `|r| ≤ ln 2 / 2` (Cody and Waite 1980, ch. 6), where a polynomial
//! of degree 5 takes over, fitted for the smallest relative error, 1.1e-7. All are within 3e-7 of the true values, and
//! of what is not a number they are not a number.

use crate::engine::simd::Simd;

/// Below this the exponential is 0, as it is in single precision after a few more steps.
const EXP_MIN: f32 = -87.0;
/// Above this the exponential overflows single precision.
const EXP_MAX: f32 = 88.0;

/// The exponential of a number that is not above 0; 0 below [`EXP_MIN`], as for a masked score.
#[inline(always)]
pub(crate) fn exp_below_zero<S: Simd>(x: S) -> S {
    S::splat(EXP_MIN).where_above(x, S::splat(0.0), exp_in_range(S::splat(EXP_MIN).max(x)))
}

/// The exponential of a number between [`EXP_MIN`] and [`EXP_MAX`].
#[inline(always)]
fn exp_in_range<S: Simd>(x: S) -> S {
    let n = x.mul(S::splat(std::f32::consts::LOG2_E)).round();
    // ln 2 in two parts, so that the product with n loses nothing.
    let r = n.mul_add(S::splat(-0.693_359_4), x);
    let r = n.mul_add(S::splat(2.121_944_4e-4), r);
    let mut p = S::splat(8.312_53e-3);
    for coefficient in [4.189_017e-2, 1.666_711_5e-1, 4.999_923e-1, 1.0, 1.0] {
        p = p.mul_add(r, S::splat(coefficient));
    }
    p.scale_exp2(n)
}

/// The exponential of a number that is taken for one between [`EXP_MIN`] and [`EXP_MAX`].
#[inline(always)]
fn exp_clamped<S: Simd>(x: S) -> S {
    // In this order, what is not a number stays so.
    exp_in_range(S::splat(EXP_MIN).max(S::splat(EXP_MAX).min(x)))
}

#[inline(always)]
pub(crate) fn sigmoid<S: Simd>(x: S) -> S {
    S::splat(1.0).add(exp_clamped(S::splat(0.0).sub(x))).reciprocal()
}

#[inline(always)]
pub(crate) fn tanh<S: Simd>(x: S) -> S {
    let two = S::splat(2.0);
    sigmoid(x.mul(two)).mul_add(two, S::splat(-1.0))
}

/// `x` above 0, else `exp(x) − 1`.
#[inline(always)]
pub(crate) fn elu<S: Simd>(x: S) -> S {
    let below = exp_clamped(x).sub(S::splat(1.0));
    x.where_above(S::splat(0.0), x, below)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::simd::{Isa, Work};

    struct Apply<'a>(&'a [f32]);

    impl Work for Apply<'_> {
        type Output = Vec<[f32; 4]>;

        #[inline(always)]
        fn run<S: Simd>(self) -> Self::Output {
            let mut values = Vec::new();
            for chunk in self.0.chunks_exact(S::LANES) {
                let x = S::load(chunk);
                let mut lanes = [[0.0f32; 16]; 4];
                exp_below_zero(S::splat(0.0).min(x)).store(&mut lanes[0]);
                sigmoid(x).store(&mut lanes[1]);
                tanh(x).store(&mut lanes[2]);
                elu(x).store(&mut lanes[3]);
                values.extend((0..S::LANES).map(|lane| lanes.map(|of| of[lane])));
            }
            values
        }
    }

    #[test]
    fn all_are_close_to_the_true_functions_everywhere() {
        let step = if cfg!(miri) { 20_000 } else { 1 };
        let inputs: Vec<f32> = (-160_000..160_000).step_by(step).map(|i| i as f32 / 1_600.0).collect();
        for isa in Isa::available() {
            for (&x, [e, s, t, u]) in inputs.iter().zip(isa.run(Apply(&inputs))) {
                let x = f64::from(x);
                if x <= 0.0 && x > -87.0 {
                    assert!((f64::from(e) / x.exp() - 1.0).abs() < 3e-7, "exp({x}) = {e}, {}", isa.name());
                }
                assert!((f64::from(s) - 1.0 / (1.0 + (-x).exp())).abs() < 3e-7, "sigmoid({x}) = {s}");
                assert!((f64::from(t) - x.tanh()).abs() < 3e-7, "tanh({x}) = {t}");
                let elu = if x > 0.0 { x } else { x.exp_m1() };
                assert!((f64::from(u) - elu).abs() < 3e-7 * x.abs().max(1.0), "elu({x}) = {u}");
            }
        }
    }

    #[test]
    fn extremes_are_limits() {
        let inputs = [f32::MIN, -1e30, -200.0, -1e-40, 0.0, 1e-40, 200.0, f32::MAX].repeat(2);
        for isa in Isa::available() {
            let values = isa.run(Apply(&inputs));
            assert!(values.iter().flatten().all(|value| !value.is_nan()), "{}", isa.name());
            assert_eq!(values[0][0].to_bits(), 0, "exp of the smallest is exactly 0");
        }
    }

    #[test]
    fn infinities_are_limits_and_what_is_no_number_stays_so() {
        let inputs = [f32::NEG_INFINITY, f32::INFINITY, f32::NAN, -f32::NAN].repeat(4);
        for isa in Isa::available() {
            let values = isa.run(Apply(&inputs));
            let [[exp, sigmoid, tanh, elu], above] = [values[0], values[1]];
            assert!(
                exp == 0.0 && sigmoid < 1e-37 && [tanh, elu].map(f32::to_bits) == [(-1.0f32).to_bits(); 2]
            );
            let [_, sigmoid, tanh, elu] = above;
            assert!(elu == f32::INFINITY && sigmoid > 0.999_999 && tanh > 0.999_999, "{}", isa.name());
            assert!(values[2..4].iter().flatten().all(|value| value.is_nan()), "{}", isa.name());
        }
    }
}
