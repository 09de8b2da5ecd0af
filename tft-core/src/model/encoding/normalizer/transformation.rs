//! Transformations that precede scaling and follow its reverse.

use serde::{Deserialize, Serialize};

/// A transformation that precedes scaling and follows its reverse.
///
/// Formulas are those of `TransformMixIn.TRANSFORMATIONS` in `pytorch_forecasting.data.encoders`, with its
/// guards against logarithms of 0, which depend on the precision of the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Transformation {
    /// Inverse softplus forward, softplus back.
    Softplus,
    /// Identity forward, rectifier back.
    Relu,
    /// Logarithm forward, exponential back.
    Log,
    /// `ln(1 + y)` forward, the exponential back, as the reference has it.
    Log1p,
    /// Logit forward, logistic back.
    Logit,
    /// `y + 1` forward, softplus back.
    Count,
    /// Square root forward, square back.
    Sqrt,
}

macro_rules! forward_in {
    ($real:ident, $transformation:expr, $y:expr) => {{
        let y: $real = $y;
        match $transformation {
            Transformation::Softplus if y > 20.0 => y,
            Transformation::Softplus => y + (-(-(y + $real::EPSILON)).exp_m1()).ln(),
            Transformation::Relu => y,
            Transformation::Log if y >= 0.0 => y.ln().max(-1.0 / $real::EPSILON),
            Transformation::Log => $real::NAN,
            Transformation::Log1p => y.ln_1p(),
            Transformation::Logit => {
                let clipped = y.clamp($real::EPSILON, 1.0 - $real::EPSILON);
                clipped.ln() - (-clipped).ln_1p()
            }
            Transformation::Count => y + 1.0,
            Transformation::Sqrt => y.sqrt(),
        }
    }};
}

impl Transformation {
    /// Transforms a raw value of a double-precision column.
    pub fn forward(self, y: f64) -> f64 {
        forward_in!(f64, self, y)
    }

    /// Transforms a raw value of a single-precision column.
    pub fn forward_single(self, y: f32) -> f32 {
        forward_in!(f32, self, y)
    }

    /// Transforms a scaled-back value, in the single precision of the reference.
    pub fn reverse(self, y: f32) -> f32 {
        match self {
            Self::Softplus | Self::Count if y > 20.0 => y,
            Self::Softplus | Self::Count => y.exp().ln_1p(),
            Self::Relu => y.max(0.0),
            Self::Log | Self::Log1p => y.exp(),
            Self::Logit => (1.0 / (1.0 + (-y).exp())).clamp(f32::MIN_POSITIVE, 1.0 - f32::EPSILON),
            Self::Sqrt => y * y,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softplus_of_zero_depends_on_the_precision() {
        assert!((Transformation::Softplus.forward(0.0) + 36.043_653).abs() < 1e-5);
        assert!((Transformation::Softplus.forward_single(0.0) + 15.942_385).abs() < 1e-5);
        assert!(Transformation::Softplus.forward(-1.0).is_nan());
    }

    #[test]
    fn logarithms_of_zero_are_finite() {
        assert!((Transformation::Log.forward_single(0.0) + 8_388_608.0).abs() < 1.0);
        assert!((Transformation::Logit.forward_single(0.0) + 15.942_385).abs() < 1e-5);
        assert!((Transformation::Logit.forward_single(1.0) - 15.942_385).abs() < 1e-5);
        assert!(Transformation::Log.forward(-1.0).is_nan());
    }

    #[test]
    fn transformations_reverse() {
        for transformation in [Transformation::Softplus, Transformation::Log, Transformation::Sqrt] {
            for y in [0.5, 3.0, 30.0] {
                let back = f64::from(transformation.reverse(transformation.forward(y) as f32));
                assert!((back - y).abs() < 1e-5 * y, "{transformation:?} {y} {back}");
            }
        }
    }
}
