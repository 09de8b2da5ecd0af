//! Encoded rows, and the way back from a network's outputs to predictions.

use ndarray::Array3;

use super::DatasetEncoding;
use crate::error::Error;
use crate::model::batch::{NetworkOutput, TensorBatch};
use crate::model::encoding::Transformation;
use crate::model::encoding::normalizer::{CenterScale, Normalizer};

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
    reverse: Vec<Option<Transformation>>,
}

/// One window, encoded; its columns are `[column][step]`.
pub(super) struct EncodedWindow {
    pub(super) group: Vec<String>,
    pub(super) first_prediction_idx: i64,
    pub(super) encoder_length: usize,
    pub(super) reals: Vec<Vec<f32>>,
    pub(super) codes: Vec<Vec<u32>>,
    pub(super) target_scales: Vec<CenterScale>,
}

impl EncodedRows {
    /// Puts windows side by side; shorter encoders are padded on the right.
    pub(super) fn stack(encoding: &DatasetEncoding, windows: Vec<EncodedWindow>) -> Self {
        let encoder_lengths: Vec<usize> = windows.iter().map(|window| window.encoder_length).collect();
        let shape = BatchShape {
            encoder_steps: encoder_lengths.iter().copied().max().unwrap_or(0),
            decoder_steps: encoding.max_prediction_length,
            encoder_lengths: &encoder_lengths,
        };
        let (encoder_reals, decoder_reals) =
            shape.split(encoding.reals.len(), windows.iter().map(|window| &window.reals[..]));
        let (encoder_categoricals, decoder_categoricals) =
            shape.split(encoding.flat_categoricals.len(), windows.iter().map(|window| &window.codes[..]));
        let of_target =
            |target: usize| windows.iter().map(|window| window.target_scales[target]).collect::<Vec<_>>();
        Self {
            target_scales: (0..encoding.targets.len()).map(of_target).collect(),
            reverse: encoding.normalizers().iter().map(Normalizer::transformation).collect(),
            first_prediction_idx: windows.iter().map(|window| window.first_prediction_idx).collect(),
            groups: windows.into_iter().map(|window| window.group).collect(),
            batch: TensorBatch {
                encoder_reals,
                encoder_categoricals,
                decoder_reals,
                decoder_categoricals,
                decoder_lengths: vec![shape.decoder_steps; encoder_lengths.len()],
                encoder_lengths,
            },
        }
    }

    /// Scales a network's outputs back: for each target `[windows, decoder steps, quantiles]`, in the
    /// target's unit and the order of the model's quantiles, which may cross.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the output is not that of this batch.
    pub fn predictions(&self, output: &NetworkOutput) -> Result<Vec<Array3<f32>>, Error> {
        output.scaled_back(&self.target_scales, &self.reverse)
    }
}

/// The steps of a batch of windows of unequal length.
struct BatchShape<'a> {
    encoder_steps: usize,
    decoder_steps: usize,
    encoder_lengths: &'a [usize],
}

impl BatchShape<'_> {
    /// Splits `[column][step]` windows into encoder and decoder arrays `[window, step, column]`.
    fn split<'w, T: Copy + Default + 'w>(
        &self,
        columns: usize,
        windows: impl Iterator<Item = &'w [Vec<T>]>,
    ) -> (Array3<T>, Array3<T>) {
        let count = self.encoder_lengths.len();
        let mut encoder = Array3::from_elem((count, self.encoder_steps, columns), T::default());
        let mut decoder = Array3::from_elem((count, self.decoder_steps, columns), T::default());
        for (window, (values, &length)) in windows.zip(self.encoder_lengths).enumerate() {
            for (column, steps) in values.iter().enumerate() {
                for (step, &value) in steps.iter().enumerate() {
                    if step < length {
                        encoder[[window, step, column]] = value;
                    } else {
                        decoder[[window, step - length, column]] = value;
                    }
                }
            }
        }
        (encoder, decoder)
    }
}
