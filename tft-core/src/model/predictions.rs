//! From a network's outputs to predictions in the unit of each target.
//!
//! Owns the way back; which constants scale what is the encodings' business.

use ndarray::{Array3, Axis};

use super::batch::NetworkOutput;
use super::encoding::{CenterScale, DatasetEncoding, Normalizer, Transformation};
use crate::error::{Error, ErrorKind};

#[derive(Debug, thiserror::Error)]
enum PredictionError {
    #[error(
        "there are {outputs} outputs and {scales} lists of target scales, the encoding has {targets} targets"
    )]
    Targets { outputs: usize, scales: usize, targets: usize },
    #[error("target {target} has {windows} windows and {scales} target scales")]
    Windows { target: usize, windows: usize, scales: usize },
}

impl NetworkOutput {
    /// Scales outputs back and reverses each target's transformation: for each target
    /// `[B, D, quantiles]`, in the target's unit and the order of the model's quantiles, which may cross.
    ///
    /// # Shapes
    /// `target_scales` `[targets][B]`: the reference's `target_scale`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if targets or windows differ in number.
    pub fn predictions(
        &self,
        encoding: &DatasetEncoding,
        target_scales: &[Vec<CenterScale>],
    ) -> Result<Vec<Array3<f32>>, Error> {
        let reverse: Vec<_> = encoding.normalizers().iter().map(Normalizer::transformation).collect();
        self.scaled_back(target_scales, &reverse)
    }

    /// Scales outputs back and reverses one transformation per target.
    pub(crate) fn scaled_back(
        &self,
        target_scales: &[Vec<CenterScale>],
        reverse: &[Option<Transformation>],
    ) -> Result<Vec<Array3<f32>>, Error> {
        let (outputs, scales, targets) = (self.targets.len(), target_scales.len(), reverse.len());
        if outputs != targets || scales != targets {
            return Err(PredictionError::Targets { outputs, scales, targets }.into());
        }
        let parts = self.targets.iter().zip(target_scales).zip(reverse).enumerate();
        parts.map(|(target, ((output, scales), &own))| scaled_back(target, output, scales, own)).collect()
    }
}

impl From<PredictionError> for Error {
    fn from(error: PredictionError) -> Self {
        Self::new(ErrorKind::InvalidInput, error)
    }
}

fn scaled_back(
    target: usize,
    output: &Array3<f32>,
    scales: &[CenterScale],
    reverse: Option<Transformation>,
) -> Result<Array3<f32>, Error> {
    let (windows, found) = (output.dim().0, scales.len());
    if windows != found {
        return Err(PredictionError::Windows { target, windows, scales: found }.into());
    }
    let mut predictions = output.clone();
    for (mut window, constants) in predictions.axis_iter_mut(Axis(0)).zip(scales) {
        let (center, scale) = (constants.center as f32, constants.scale as f32);
        window.mapv_inplace(|value| {
            let y = value * scale + center;
            reverse.map_or(y, |transformation| transformation.reverse(y))
        });
    }
    Ok(predictions)
}
