//! Scaling of targets and reals, as pytorch-forecasting's normalisers do.
//!
//! Formulas are those of `GroupNormalizer`, `EncoderNormalizer` and `TorchNormalizer` in
//! `pytorch_forecasting.data.encoders` 1.8 (unchanged since 1.0).

use serde::{Deserialize, Serialize};

/// A normaliser with the constants that its training fitted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type")]
#[non_exhaustive]
pub enum Normalizer {
    /// One centre and scale per group, or one pair for all.
    GroupNormalizer {
        /// Applied before scaling.
        transformation: Option<Transformation>,
        /// The variables that make a group.
        groups: Vec<String>,
        /// The fitted constants.
        norm: GroupNorm,
        /// The constants of unknown groups; absent where there are no groups.
        #[serde(default)]
        missing: Option<CenterScale>,
    },
    /// Centre and scale of each window's own encoder part.
    EncoderNormalizer {
        /// `standard`, `robust` or `identity`.
        method: String,
        /// Whether the centre is subtracted; otherwise the scale is the centre.
        center: bool,
        /// Applied before scaling.
        transformation: Option<Transformation>,
        /// The constants that were fitted last.
        fitted_center: f64,
        /// The constants that were fitted last.
        fitted_scale: f64,
        /// A limit on the part of the encoder that counts; not supported.
        #[serde(default)]
        max_length: Option<serde_json::Value>,
        /// Other quantiles of the robust method; not supported.
        #[serde(default)]
        method_kwargs: std::collections::BTreeMap<String, serde_json::Value>,
    },
    /// One centre and scale for everything.
    TorchNormalizer {
        /// Applied before scaling.
        transformation: Option<Transformation>,
        /// The fitted centre.
        fitted_center: f64,
        /// The fitted scale.
        fitted_scale: f64,
    },
    /// `(x − mean) / scale`.
    StandardScaler {
        /// The fitted mean.
        mean: f64,
        /// The fitted standard deviation, 1 if it was 0.
        scale: f64,
    },
}

/// The fitted constants of a `GroupNormalizer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum GroupNorm {
    /// One row per group, found by the codes of its group variables.
    PerGroup {
        /// The codes of each row.
        index: Vec<Vec<i64>>,
        /// The centre of each row.
        center: Vec<f64>,
        /// The scale of each row.
        scale: Vec<f64>,
    },
    /// One pair for all.
    Global(CenterScale),
}

/// The constants of a linear scaling: `(x − center) / scale`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CenterScale {
    /// What is subtracted.
    pub center: f64,
    /// What divides.
    pub scale: f64,
}

/// A transformation that precedes scaling and follows its reverse.
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

impl Normalizer {
    /// Returns the transformation that precedes scaling.
    pub fn transformation(&self) -> Option<Transformation> {
        match self {
            Self::GroupNormalizer { transformation, .. }
            | Self::EncoderNormalizer { transformation, .. }
            | Self::TorchNormalizer { transformation, .. } => *transformation,
            Self::StandardScaler { .. } => None,
        }
    }

    /// Returns the fitted constants for the group of the given codes.
    pub(super) fn fitted(&self, codes: &[i64]) -> CenterScale {
        match self {
            Self::GroupNormalizer { norm, missing, .. } => norm.find(codes).or(*missing).unwrap_or_default(),
            Self::EncoderNormalizer { fitted_center, fitted_scale, .. }
            | Self::TorchNormalizer { fitted_center, fitted_scale, .. } => {
                CenterScale { center: *fitted_center, scale: *fitted_scale }
            }
            Self::StandardScaler { mean, scale } => CenterScale { center: *mean, scale: *scale },
        }
    }

    /// Returns the group variables whose codes [`fitted`](Self::fitted) wants.
    pub(super) fn groups(&self) -> &[String] {
        match self {
            Self::GroupNormalizer { groups, norm: GroupNorm::PerGroup { .. }, .. } => groups,
            _ => &[],
        }
    }
}

impl GroupNorm {
    fn find(&self, codes: &[i64]) -> Option<CenterScale> {
        match self {
            Self::Global(constants) => Some(*constants),
            Self::PerGroup { index, center, scale } => {
                let row = index.iter().position(|row| row == codes)?;
                Some(CenterScale { center: *center.get(row)?, scale: *scale.get(row)? })
            }
        }
    }

    /// Returns the first inconsistency, if any.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::PerGroup { index, center, scale }
                if index.len() != center.len() || index.len() != scale.len() =>
            {
                Some(format!("{} groups, {} centers, {} scales", index.len(), center.len(), scale.len()))
            }
            Self::PerGroup { center, scale, .. } => {
                let constants = center.iter().zip(scale);
                constants
                    .map(|(&center, &scale)| CenterScale { center, scale })
                    .find_map(CenterScale::problem)
            }
            Self::Global(constants) => constants.problem(),
        }
    }
}

impl CenterScale {
    /// Scales a transformed value.
    pub(super) fn apply(self, value: f64) -> f64 {
        (value - self.center) / self.scale
    }

    /// Returns what makes these constants unusable, if anything.
    pub(super) fn problem(self) -> Option<String> {
        let is_usable = self.center.is_finite() && self.scale.is_finite() && self.scale > 0.0;
        (!is_usable).then(|| format!("center {}, scale {}", self.center, self.scale))
    }
}

impl Default for CenterScale {
    fn default() -> Self {
        Self { center: 0.0, scale: 1.0 }
    }
}

impl Transformation {
    /// Transforms a raw value.
    pub fn forward(self, y: f64) -> f64 {
        /// Keeps the logarithm of the inverse softplus away from 0, as the reference does.
        const EPSILON: f64 = f64::EPSILON;
        match self {
            Self::Softplus if y > 20.0 => y,
            Self::Softplus => y + (-(-(y + EPSILON)).exp_m1()).ln(),
            Self::Relu => y,
            Self::Log => y.ln(),
            Self::Log1p => y.ln_1p(),
            Self::Logit => (y / (1.0 - y)).ln(),
            Self::Count => y + 1.0,
            Self::Sqrt => y.sqrt(),
        }
    }

    /// Transforms a scaled-back value, in the single precision of the reference.
    pub fn reverse(self, y: f32) -> f32 {
        match self {
            Self::Softplus | Self::Count if y > 20.0 => y,
            Self::Softplus | Self::Count => y.exp().ln_1p(),
            Self::Relu => y.max(0.0),
            Self::Log | Self::Log1p => y.exp(),
            Self::Logit => 1.0 / (1.0 + (-y).exp()),
            Self::Sqrt => y * y,
        }
    }
}

/// Centre and scale of a window's transformed encoder part, in the single precision of the reference.
///
/// `standard`: mean and standard deviation (ddof 1) + 1.19e-7. `robust`: median and half the distance from
/// the 25 % to the 75 % quantile. Without centring the scale is the centre.
pub(super) fn window_constants(method: &str, is_centered: bool, encoder: &[f64]) -> CenterScale {
    let values: Vec<f32> = encoder.iter().map(|&value| value as f32).collect();
    let (center, scale) = match method {
        "identity" => (0.0, 1.0),
        "robust" => robust(&values),
        _ => standard(&values),
    };
    if is_centered {
        return CenterScale { center: f64::from(center), scale: f64::from(scale) };
    }
    CenterScale { center: 0.0, scale: f64::from(center.max(f32::EPSILON)) }
}

fn standard(values: &[f32]) -> (f32, f32) {
    let count = values.len() as f64;
    let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / count;
    let squares: f64 = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum();
    let deviation = if values.len() > 1 { (squares / (count - 1.0)).sqrt() } else { 0.0 };
    (mean as f32, deviation as f32 + f32::EPSILON)
}

fn robust(values: &[f32]) -> (f32, f32) {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let quantile = |level: f64| {
        let at = level * (sorted.len() - 1) as f64;
        let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
        low + (high - low) * at.fract() as f32
    };
    (quantile(0.5), (quantile(0.75) - quantile(0.25)) / 2.0 + f32::EPSILON)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn softplus_of_zero_is_the_reference_constant() {
        assert!((Transformation::Softplus.forward(0.0) + 36.043_653).abs() < 1e-5);
        assert!(Transformation::Softplus.forward(-1.0).is_nan());
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

    #[test]
    fn groups_are_found_by_their_codes() {
        let norm = GroupNorm::PerGroup {
            index: vec![vec![1], vec![2]],
            center: vec![5.0, 6.0],
            scale: vec![1.0, 2.0],
        };
        assert_eq!(norm.find(&[2]), Some(CenterScale { center: 6.0, scale: 2.0 }));
        assert_eq!(norm.find(&[3]), None);
    }
}
