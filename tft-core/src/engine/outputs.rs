//! Where a forward pass writes to: a part of every output for every thread.

use ndarray::{Array, Dimension, Ix2, Ix3, Ix4};

use super::Detail;
use super::plan::Plan;
use crate::model::{Architecture, NetworkOutput, TensorBatch};

/// The sizes of a batch's outputs.
#[derive(Debug, Clone, Copy)]
pub(super) struct OutputShape {
    windows: usize,
    encoder: usize,
    decoder: usize,
    heads: usize,
    /// Static, encoder and decoder variables.
    variables: [usize; 3],
    /// The quantiles of all targets.
    levels: usize,
}

/// Some windows' parts of all outputs; those that are not wanted are empty.
pub(super) struct OutputPart<'a> {
    pub(super) windows: usize,
    /// `[window][decoder step][all targets' quantiles]`
    pub(super) quantiles: &'a mut [f32],
    /// `[window][decoder step][head][encoder key]`
    pub(super) encoder_attention: &'a mut [f32],
    /// `[window][decoder step][head][decoder key]`
    pub(super) decoder_attention: &'a mut [f32],
    /// `[window][variable]`
    pub(super) static_weights: &'a mut [f32],
    /// `[window][step][variable]`
    pub(super) encoder_weights: &'a mut [f32],
    /// `[window][step][variable]`
    pub(super) decoder_weights: &'a mut [f32],
}

impl OutputShape {
    /// Returns the sizes for a batch; what is not wanted has no heads and no variables.
    pub(super) fn new(plan: &Plan, batch: &TensorBatch, detail: Detail) -> Self {
        let wanted = |count: usize| if detail == Detail::Explained { count } else { 0 };
        Self {
            windows: batch.windows(),
            encoder: batch.encoder_steps(),
            decoder: batch.decoder_steps(),
            heads: wanted(plan.attention.heads),
            variables: [&plan.statics, &plan.encoder, &plan.decoder].map(|side| wanted(side.count())),
            levels: plan.output.outputs,
        }
    }

    /// Gives outputs their shapes; arrays that have them stay as they are and are written over.
    pub(super) fn prepare(
        &self,
        architecture: &Architecture,
        output: &mut NetworkOutput,
        quantiles: &mut Vec<f32>,
    ) {
        let Self { windows, encoder, decoder, heads, variables, levels } = *self;
        quantiles.resize(windows * decoder * levels, 0.0);
        output.targets.resize_with(architecture.targets(), Default::default);
        for (target, levels) in output.targets.iter_mut().zip(&architecture.quantiles) {
            reshape(target, Ix3(windows, decoder, levels.len()));
        }
        reshape(&mut output.encoder_attention, Ix4(windows, decoder, heads, encoder));
        reshape(&mut output.decoder_attention, Ix4(windows, decoder, heads, decoder));
        reshape(&mut output.static_weights, Ix2(windows, variables[0]));
        reshape(&mut output.encoder_weights, Ix3(windows, encoder, variables[1]));
        reshape(&mut output.decoder_weights, Ix3(windows, decoder, variables[2]));
    }

    /// Splits outputs into parts of `share` windows, the last of which may have fewer.
    pub(super) fn split<'a>(
        &self,
        share: usize,
        output: &'a mut NetworkOutput,
        quantiles: &'a mut [f32],
    ) -> impl Iterator<Item = OutputPart<'a>> {
        let Self { windows, encoder, decoder, heads, variables, levels } = *self;
        let mut quantiles = Parts::new(quantiles, decoder * levels * share);
        let mut encoder_attention =
            Parts::of(&mut output.encoder_attention, decoder * heads * encoder * share);
        let mut decoder_attention =
            Parts::of(&mut output.decoder_attention, decoder * heads * decoder * share);
        let mut static_weights = Parts::of(&mut output.static_weights, variables[0] * share);
        let mut encoder_weights = Parts::of(&mut output.encoder_weights, encoder * variables[1] * share);
        let mut decoder_weights = Parts::of(&mut output.decoder_weights, decoder * variables[2] * share);
        (0..windows).step_by(share.max(1)).map(move |first| OutputPart {
            windows: share.min(windows - first),
            quantiles: quantiles.next(),
            encoder_attention: encoder_attention.next(),
            decoder_attention: decoder_attention.next(),
            static_weights: static_weights.next(),
            encoder_weights: encoder_weights.next(),
            decoder_weights: decoder_weights.next(),
        })
    }

    /// Hands `[row][all targets' quantiles]` out to the targets.
    pub(super) fn hand_out(&self, quantiles: &[f32], output: &mut NetworkOutput) {
        let mut start = 0;
        for target in &mut output.targets {
            let levels = target.dim().2;
            let rows = quantiles.chunks_exact(self.levels.max(1)).map(|row| &row[start..start + levels]);
            for (mut target, row) in target.rows_mut().into_iter().zip(rows) {
                target.iter_mut().zip(row).for_each(|(target, &value)| *target = value);
            }
            start += levels;
        }
    }
}

/// An output that is cut into parts.
struct Parts<'a> {
    rest: &'a mut [f32],
    size: usize,
}

impl<'a> Parts<'a> {
    fn new(rest: &'a mut [f32], size: usize) -> Self {
        Self { rest, size }
    }

    fn of<D: Dimension>(array: &'a mut Array<f32, D>, size: usize) -> Self {
        Self::new(array.as_slice_mut().unwrap_or_default(), size)
    }

    fn next(&mut self) -> &'a mut [f32] {
        let rest = std::mem::take(&mut self.rest);
        let (part, rest) = rest.split_at_mut(self.size.min(rest.len()));
        self.rest = rest;
        part
    }
}

/// Gives an array a shape and one row after the other, unless it has them.
fn reshape<D: Dimension>(array: &mut Array<f32, D>, shape: D) {
    if array.raw_dim() != shape || !array.is_standard_layout() {
        *array = Array::zeros(shape);
    }
}
