//! Scaling of targets and reals, as pytorch-forecasting's normalisers do.
//!
//! Formulas are those of `GroupNormalizer`, `EncoderNormalizer` and `TorchNormalizer` in
//! `pytorch_forecasting.data.encoders` 1.8, and of scikit-learn's scalers.

mod cascade_sum;
mod encoder;
mod groups;
mod transformation;

use serde::{Deserialize, Serialize};

pub(in crate::model::encoding) use cascade_sum::Layout;
pub use encoder::{EncoderFit, FitLength, ScaleWithoutCenter};
pub use groups::{GroupKey, GroupNorm, GroupTable, MissingNorm};
pub use transformation::Transformation;

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
        missing: Option<MissingNorm>,
    },
    /// Centre and scale of each window's own encoder part.
    EncoderNormalizer(EncoderFit),
    /// One centre and scale for everything.
    TorchNormalizer {
        /// Applied before scaling.
        transformation: Option<Transformation>,
        /// The fitted centre.
        fitted_center: f64,
        /// The fitted scale.
        fitted_scale: f64,
    },
    /// `(x − mean) / scale`: a scaler of scikit-learn, or any other whose map is affine.
    #[serde(alias = "RobustScaler", alias = "AffineScaler")]
    StandardScaler {
        /// What is subtracted; 0 if absent.
        #[serde(default, alias = "center")]
        mean: Option<f64>,
        /// What divides; 1 if absent.
        #[serde(default)]
        scale: Option<f64>,
    },
    /// The classes of a categorical target; not supported.
    NaNLabelEncoder {},
}

/// The constants of a linear scaling: `(x − center) / scale`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct CenterScale {
    /// What is subtracted.
    pub center: f64,
    /// What divides.
    pub scale: f64,
}

impl Normalizer {
    /// Returns the transformation that precedes scaling.
    pub fn transformation(&self) -> Option<Transformation> {
        match self {
            Self::GroupNormalizer { transformation, .. }
            | Self::EncoderNormalizer(EncoderFit { transformation, .. })
            | Self::TorchNormalizer { transformation, .. } => *transformation,
            Self::StandardScaler { .. } | Self::NaNLabelEncoder {} => None,
        }
    }

    /// Returns the fit of a normaliser that looks at each window's own encoder part.
    pub(super) fn encoder_fit(&self) -> Option<&EncoderFit> {
        match self {
            Self::EncoderNormalizer(fit) => Some(fit),
            _ => None,
        }
    }

    /// Returns the fitted constants for the group of the given keys.
    pub(super) fn fitted(&self, keys: &[GroupKey]) -> CenterScale {
        match self {
            Self::GroupNormalizer { norm, missing, groups, .. } => {
                norm.find(groups, keys, missing.as_ref()).unwrap_or_default()
            }
            Self::TorchNormalizer { fitted_center, fitted_scale, .. } => {
                CenterScale { center: *fitted_center, scale: *fitted_scale }
            }
            Self::StandardScaler { mean, scale } => {
                CenterScale { center: mean.unwrap_or(0.0), scale: scale.unwrap_or(1.0) }
            }
            Self::EncoderNormalizer(_) | Self::NaNLabelEncoder {} => CenterScale::default(),
        }
    }

    /// Returns the group variables whose keys [`fitted`](Self::fitted) wants.
    pub(super) fn groups(&self) -> &[String] {
        match self {
            Self::GroupNormalizer { norm: GroupNorm::Global(_), .. } => &[],
            Self::GroupNormalizer { groups, .. } => groups,
            _ => &[],
        }
    }

    /// Scales a raw value of a column, in its precision.
    ///
    /// What a normaliser fits on a single-precision column is single too; scikit-learn's constants are not,
    /// but each of its operations rounds.
    pub(super) fn scaled(&self, constants: CenterScale, value: f64, is_single: bool) -> f64 {
        if !is_single {
            let transformed = self.transformation().map_or(value, |t| t.forward(value));
            return constants.apply(transformed);
        }
        let value = value as f32;
        if let Self::StandardScaler { .. } = self {
            let centered = (f64::from(value) - constants.center) as f32;
            return f64::from((f64::from(centered) / constants.scale) as f32);
        }
        let transformed = self.transformation().map_or(value, |t| t.forward_single(value));
        f64::from((transformed - constants.center as f32) / constants.scale as f32)
    }

    /// Returns the first inconsistency, if any.
    pub(super) fn problem(&self) -> Option<String> {
        match self {
            Self::GroupNormalizer { norm, missing, groups, .. } => norm.problem(groups, missing.as_ref()),
            Self::EncoderNormalizer(fit) => fit.problem(),
            Self::NaNLabelEncoder {} => Some("is a NaNLabelEncoder, and classes cannot be forecast".into()),
            other => other.fitted(&[]).problem(),
        }
    }
}

impl CenterScale {
    /// Scales a transformed value.
    pub(super) fn apply(self, value: f64) -> f64 {
        (value - self.center) / self.scale
    }

    /// Returns whether both constants are numbers of single precision, as those that were fitted on a
    /// single-precision column.
    pub(super) fn are_single(&self) -> bool {
        [self.center, self.scale].iter().all(|&value| f64::from(value as f32).total_cmp(&value).is_eq())
    }

    /// Returns what makes these constants unusable, if anything.
    pub(super) fn problem(self) -> Option<String> {
        let is_usable = self.center.is_finite() && self.scale.is_finite() && self.scale != 0.0;
        (!is_usable).then(|| format!("has center {}, scale {}", self.center, self.scale))
    }
}

impl Default for CenterScale {
    fn default() -> Self {
        Self { center: 0.0, scale: 1.0 }
    }
}
