//! Constants of a window's own encoder part: the fit of an `EncoderNormalizer`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::cascade_sum::{Layout, mean};
use super::{CenterScale, Transformation};

/// How an `EncoderNormalizer` finds its constants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EncoderFit {
    /// `standard`, `robust` or `identity`.
    pub method: String,
    /// Whether the centre is subtracted.
    pub center: bool,
    /// What divides where the centre is not subtracted.
    #[serde(default)]
    pub scale_without_center: ScaleWithoutCenter,
    /// Applied before scaling.
    pub transformation: Option<Transformation>,
    /// The newest encoder steps that count; all if absent.
    #[serde(default)]
    pub max_length: Option<FitLength>,
    /// `lower`, `center` and `upper`: the quantile levels of the robust method.
    #[serde(default)]
    pub method_kwargs: Option<BTreeMap<String, f64>>,
}

/// What divides where the centre is not subtracted: it depends on the version of the library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScaleWithoutCenter {
    /// The spread, as ever.
    #[default]
    Spread,
    /// The centre, as in pytorch-forecasting 1.0.
    Center,
}

/// How many of the newest encoder steps count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FitLength {
    /// As many for the centre as for the scale.
    Same(usize),
    /// For the centre and for the scale.
    CenterAndScale([usize; 2]),
}

impl EncoderFit {
    /// Returns the constants of raw encoder values, in the single precision of the reference.
    ///
    /// `standard`: mean and standard deviation (ddof 1) + 1.19e-7. `robust`: a middle quantile and half the
    /// distance from a lower to an upper one, + 1.19e-7.
    pub(in crate::model::encoding) fn fit(&self, encoder: &[f32], layout: Layout) -> CenterScale {
        let layout = if self.makes_a_copy() { Layout::Adjacent } else { layout };
        let values: Vec<f32> = encoder.iter().map(|&value| self.transformed(value)).collect();
        let newest = |count: usize| &values[values.len().saturating_sub(count)..];
        let (for_center, for_scale) = match self.max_length {
            None => (&values[..], &values[..]),
            Some(FitLength::Same(count)) => (newest(count), newest(count)),
            Some(FitLength::CenterAndScale([center, scale])) => (newest(center), newest(scale)),
        };
        let (center, scale) = match self.method.as_str() {
            "identity" => (0.0, 1.0),
            "robust" => self.robust(for_center, for_scale),
            _ => (mean(for_center, layout), deviation(for_scale, layout) as f32 + f32::EPSILON),
        };
        let (center, scale) = match self.scale_without_center {
            _ if self.center || self.method == "identity" => (center, scale),
            ScaleWithoutCenter::Spread => (0.0, scale),
            ScaleWithoutCenter::Center => (0.0, center),
        };
        CenterScale { center: f64::from(center), scale: f64::from(scale) }
    }

    /// Transforms and scales a raw value.
    pub(in crate::model::encoding) fn apply(&self, constants: CenterScale, value: f32) -> f32 {
        (self.transformed(value) - constants.center as f32) / constants.scale as f32
    }

    /// Returns what is wrong with the settings, if anything.
    pub(super) fn problem(&self) -> Option<String> {
        if !["standard", "robust", "identity"].contains(&self.method.as_str()) {
            return Some(format!("has the unknown method `{}`", self.method));
        }
        let lengths = match self.max_length {
            None => [2, 2],
            Some(FitLength::Same(length)) => [length, length],
            Some(FitLength::CenterAndScale(lengths)) => lengths,
        };
        if lengths[0] < 1 || lengths[1] < 2 {
            return Some(format!("has max_length {lengths:?}, the scale needs at least 2 steps"));
        }
        let levels = self.method_kwargs.iter().flatten();
        let mut wrong = levels.filter(|(_, level)| !(0.0..=1.0).contains(*level));
        wrong.next().map(|(name, level)| format!("has method_kwargs.{name} {level}, allowed are 0 to 1"))
    }

    /// Returns the fewest encoder steps that have a scale.
    pub(in crate::model::encoding) fn steps_min(&self) -> usize {
        if self.method == "identity" { 1 } else { 2 }
    }

    /// A transformation writes its result anew; the rectifier's way in is none.
    fn makes_a_copy(&self) -> bool {
        !matches!(self.transformation, None | Some(Transformation::Relu))
    }

    fn transformed(&self, value: f32) -> f32 {
        self.transformation.map_or(value, |transformation| transformation.forward_single(value))
    }

    fn robust(&self, for_center: &[f32], for_scale: &[f32]) -> (f32, f32) {
        let level = |name: &str, default: f64| {
            self.method_kwargs.as_ref().and_then(|levels| levels.get(name)).copied().unwrap_or(default)
        };
        let spread = quantile(for_scale, level("upper", 0.75)) - quantile(for_scale, level("lower", 0.25));
        (quantile(for_center, level("center", 0.5)), spread / 2.0 + f32::EPSILON)
    }
}

/// The standard deviation (ddof 1) around the rounded mean.
fn deviation(values: &[f32], layout: Layout) -> f64 {
    let mean = f64::from(mean(values, layout));
    let squares: f64 = values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum();
    (squares / (values.len() as f64 - 1.0)).sqrt()
}

/// The sample quantile with linear interpolation.
fn quantile(values: &[f32], level: f64) -> f32 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f32::total_cmp);
    let at = level * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    low + (high - low) * at.fract() as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(method: &str, max_length: Option<FitLength>) -> EncoderFit {
        EncoderFit {
            method: method.into(),
            center: true,
            scale_without_center: ScaleWithoutCenter::default(),
            transformation: None,
            max_length,
            method_kwargs: None,
        }
    }

    #[test]
    fn center_and_scale_may_look_back_differently_far() {
        let values = [0.0, 0.0, 2.0, 4.0, 6.0];
        let constants = fit("robust", Some(FitLength::CenterAndScale([1, 3]))).fit(&values, Layout::Adjacent);
        assert!((constants.center - 6.0).abs() < 1e-6 && (constants.scale - 1.0).abs() < 1e-6);
        let constants = fit("standard", Some(FitLength::Same(3))).fit(&values, Layout::Adjacent);
        assert!((constants.center - 4.0).abs() < 1e-6 && (constants.scale - 2.0).abs() < 1e-6);
    }

    #[test]
    fn without_centre_the_scale_is_the_spread_or_the_centre() {
        let spread = EncoderFit { center: false, ..fit("standard", None) };
        let center = EncoderFit { scale_without_center: ScaleWithoutCenter::Center, ..spread.clone() };
        let constants = [spread, center].map(|fit| fit.fit(&[2.0, 4.0, 6.0], Layout::Adjacent));
        assert!(constants.iter().all(|constants| constants.center == 0.0));
        assert!((constants[0].scale - 2.0).abs() < 1e-6 && (constants[1].scale - 4.0).abs() < 1e-6);
    }

    #[test]
    fn a_scale_of_one_step_is_refused() {
        assert!(fit("standard", Some(FitLength::Same(1))).problem().is_some());
        assert!(fit("mad", None).problem().unwrap().contains("`mad`"));
    }
}
