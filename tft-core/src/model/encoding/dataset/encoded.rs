//! Encoded rows, and the way back from a network's outputs to predictions.

use ndarray::{Array3, s};

use super::DatasetError;
use crate::error::{Error, ErrorKind};
use crate::model::batch::{NetworkOutput, TensorBatch};
use crate::model::encoding::Transformation;
use crate::model::encoding::normalizer::CenterScale;

/// Encoded rows: a batch, and what turns its outputs into predictions.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EncodedRows {
    /// The tensors, one window per group.
    pub batch: TensorBatch,
    /// The group of each window.
    pub groups: Vec<Vec<String>>,
    /// The time index of each window's first decoder step.
    pub first_prediction_idx: Vec<i64>,
    /// `[targets][windows]`: the constants that scale outputs back.
    pub target_scales: Vec<Vec<CenterScale>>,
    pub(super) reverse: Vec<Option<Transformation>>,
}

impl EncodedRows {
    /// Scales a network's outputs back: for each target `[windows, decoder steps, quantiles]`, in the
    /// target's unit and the order of the model's quantiles, which may cross.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the output is not that of this batch.
    pub fn predictions(&self, output: &NetworkOutput) -> Result<Vec<Array3<f32>>, Error> {
        let windows = self.batch.windows();
        let fits = output.targets.len() == self.target_scales.len()
            && output.targets.iter().all(|target| target.dim().0 == windows);
        if !fits {
            let problem =
                format!("has {} targets, expected {}", output.targets.len(), self.target_scales.len());
            let error = DatasetError::Inconsistent { field: "output".into(), problem };
            return Err(Error::new(ErrorKind::InvalidInput, error));
        }
        let mut predictions = output.targets.clone();
        for (target, prediction) in predictions.iter_mut().enumerate() {
            for (window, constants) in self.target_scales[target].iter().enumerate() {
                let (center, scale) = (constants.center as f32, constants.scale as f32);
                let reverse = self.reverse[target];
                prediction.slice_mut(s![window, .., ..]).mapv_inplace(|value| {
                    let scaled = value * scale + center;
                    reverse.map_or(scaled, |transformation| transformation.reverse(scaled))
                });
            }
        }
        Ok(predictions)
    }
}
