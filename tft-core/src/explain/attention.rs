//! The attention of one decoder step of each window, aligned at the end of the encoder.

use ndarray::{Array1, Array2, ArrayView1, ArrayViewMut1, Axis, s};

use super::Interpretation;
use crate::model::{NetworkOutput, TensorBatch};

/// Mean weight of the heads that attend to a step, `[windows, steps]`; NaN where none does.
#[derive(Debug, Clone)]
pub(super) struct StepAttention(Array2<f32>);

impl StepAttention {
    /// Reads the attention of decoder step `query` of windows that have one.
    pub(super) fn of(
        output: &NetworkOutput,
        batch: &TensorBatch,
        max_encoder_length: usize,
        query: usize,
    ) -> Self {
        let encoder_end = max_encoder_length.max(batch.encoder_steps());
        let mut weights = Array2::from_elem((batch.windows(), encoder_end + query), f32::NAN);
        let lengths = batch.encoder_lengths.iter().zip(&batch.decoder_lengths);
        for ((window, mut row), (&encoder, &decoder)) in weights.outer_iter_mut().enumerate().zip(lengths) {
            if query >= decoder {
                continue;
            }
            let past = output.encoder_attention.slice(s![window, query, .., ..encoder]);
            let ahead = output.decoder_attention.slice(s![window, query, .., ..query]);
            fill(row.slice_mut(s![encoder_end - encoder..encoder_end]), past.axis_iter(Axis(1)));
            fill(row.slice_mut(s![encoder_end..]), ahead.axis_iter(Axis(1)));
        }
        Self(weights)
    }

    /// Returns each window's weights divided by their sum; 0 where there are none.
    pub(super) fn shares(&self) -> Array2<f32> {
        let mut shares = self.0.mapv(or_zero);
        for mut row in shares.outer_iter_mut() {
            let sum = row.sum();
            if sum > 0.0 {
                row.mapv_inplace(|weight| weight / sum);
            }
        }
        shares
    }

    /// Returns the sum over windows.
    pub(super) fn total(&self) -> Array1<f32> {
        self.0.mapv(or_zero).sum_axis(Axis(0))
    }

    /// Returns the mean over the windows that attend to a step; 0 where none does.
    pub(super) fn mean(&self) -> Array1<f32> {
        self.0.axis_iter(Axis(1)).map(|step| or_zero(mean_of_present(&step))).collect()
    }
}

fn fill<'a>(mut row: ArrayViewMut1<'_, f32>, steps: impl Iterator<Item = ArrayView1<'a, f32>>) {
    for (mean, heads) in row.iter_mut().zip(steps) {
        *mean = mean_of_present(&heads.mapv(dropped_if_small).view());
    }
}

fn dropped_if_small(weight: f32) -> f32 {
    if weight < Interpretation::ATTENTION_MIN { f32::NAN } else { weight }
}

/// The mean of what is not NaN; NaN if all is.
fn mean_of_present(values: &ArrayView1<'_, f32>) -> f32 {
    let present = values.iter().filter(|value| !value.is_nan());
    let (sum, count) = present.fold((0.0, 0), |(sum, count), value| (sum + value, count + 1));
    sum / count as f32
}

fn or_zero(weight: f32) -> f32 {
    if weight.is_nan() { 0.0 } else { weight }
}
