//! Where a forward pass writes to: one buffer per output, a part of each for every thread.

use ndarray::{Array2, Array3, Array4};

use super::Detail;
use crate::model::{Architecture, NetworkOutput, TensorBatch};

/// The outputs of a batch, window after window.
pub(super) struct OutputBuffers {
    detail: Detail,
    /// `[window][decoder step][all targets' quantiles]`
    quantiles: Output,
    /// `[window][decoder step][head][encoder key]`
    encoder_attention: Output,
    /// `[window][decoder step][head][decoder key]`
    decoder_attention: Output,
    /// `[window][variable]`
    static_weights: Output,
    /// `[window][step][variable]`
    encoder_weights: Output,
    /// `[window][step][variable]`
    decoder_weights: Output,
}

struct Output {
    values: Vec<f32>,
    per_window: usize,
}

/// Some windows' parts of all outputs; those that are not wanted are empty.
#[derive(Default)]
pub(super) struct OutputPart<'a> {
    pub(super) windows: usize,
    pub(super) quantiles: &'a mut [f32],
    pub(super) encoder_attention: &'a mut [f32],
    pub(super) decoder_attention: &'a mut [f32],
    pub(super) static_weights: &'a mut [f32],
    pub(super) encoder_weights: &'a mut [f32],
    pub(super) decoder_weights: &'a mut [f32],
}

impl OutputBuffers {
    pub(super) fn new(architecture: &Architecture, batch: &TensorBatch, detail: Detail) -> Self {
        let (windows, encoder, decoder) = (batch.windows(), batch.encoder_steps(), batch.decoder_steps());
        let heads = architecture.attention_head_size;
        let [statics, encoders, decoders] = architecture.selections().map(|selection| selection.count());
        let explained = |per_window: usize| {
            Output::new(windows, if detail == Detail::Explained { per_window } else { 0 })
        };
        let levels: usize = architecture.quantiles.iter().map(Vec::len).sum();
        Self {
            detail,
            quantiles: Output::new(windows, decoder * levels),
            encoder_attention: explained(decoder * heads * encoder),
            decoder_attention: explained(decoder * heads * decoder),
            static_weights: explained(statics),
            encoder_weights: explained(encoder * encoders),
            decoder_weights: explained(decoder * decoders),
        }
    }

    /// Splits all outputs into parts of at most `share` windows.
    pub(super) fn split(&mut self, share: usize) -> Vec<OutputPart<'_>> {
        let windows = self.quantiles.windows();
        let mut parts: Vec<OutputPart<'_>> = Vec::new();
        let mut first = 0;
        while first < windows {
            let count = share.min(windows - first);
            parts.push(OutputPart { windows: count, ..OutputPart::default() });
            first += count;
        }
        for (part, chunk) in parts.iter_mut().zip(self.quantiles.chunks(share)) {
            part.quantiles = chunk;
        }
        for (part, chunk) in parts.iter_mut().zip(self.encoder_attention.chunks(share)) {
            part.encoder_attention = chunk;
        }
        for (part, chunk) in parts.iter_mut().zip(self.decoder_attention.chunks(share)) {
            part.decoder_attention = chunk;
        }
        for (part, chunk) in parts.iter_mut().zip(self.static_weights.chunks(share)) {
            part.static_weights = chunk;
        }
        for (part, chunk) in parts.iter_mut().zip(self.encoder_weights.chunks(share)) {
            part.encoder_weights = chunk;
        }
        for (part, chunk) in parts.iter_mut().zip(self.decoder_weights.chunks(share)) {
            part.decoder_weights = chunk;
        }
        parts
    }

    pub(super) fn into_output(self, architecture: &Architecture, batch: &TensorBatch) -> NetworkOutput {
        let (windows, encoder, decoder) = (batch.windows(), batch.encoder_steps(), batch.decoder_steps());
        let shown = |count: usize| if self.detail == Detail::Explained { count } else { 0 };
        let heads = shown(architecture.attention_head_size);
        let counts = architecture.selections().map(|selection| shown(selection.count()));
        NetworkOutput {
            targets: split_targets(architecture, &self.quantiles.values, windows * decoder, decoder),
            encoder_attention: array4(self.encoder_attention.values, [windows, decoder, heads, encoder]),
            decoder_attention: array4(self.decoder_attention.values, [windows, decoder, heads, decoder]),
            static_weights: Array2::from_shape_vec((windows, counts[0]), self.static_weights.values)
                .expect("invariant: the buffer was made for this shape"),
            encoder_weights: array3(self.encoder_weights.values, [windows, encoder, counts[1]]),
            decoder_weights: array3(self.decoder_weights.values, [windows, decoder, counts[2]]),
        }
    }
}

impl Output {
    fn new(windows: usize, per_window: usize) -> Self {
        Self { values: vec![0.0; windows * per_window], per_window }
    }

    /// Only asked of an output that is always wanted.
    fn windows(&self) -> usize {
        self.values.len() / self.per_window.max(1)
    }

    fn chunks(&mut self, share: usize) -> impl Iterator<Item = &mut [f32]> {
        self.values.chunks_mut((share * self.per_window).max(1))
    }
}

/// Splits `[row][all targets' quantiles]` by target.
fn split_targets(
    architecture: &Architecture,
    quantiles: &[f32],
    rows: usize,
    decoder: usize,
) -> Vec<Array3<f32>> {
    let all: usize = architecture.quantiles.iter().map(Vec::len).sum();
    let mut start = 0;
    let mut targets = Vec::with_capacity(architecture.targets());
    for levels in &architecture.quantiles {
        let mut values = Vec::with_capacity(rows * levels.len());
        for row in quantiles.chunks_exact(all) {
            values.extend_from_slice(&row[start..start + levels.len()]);
        }
        targets.push(array3(values, [rows / decoder.max(1), decoder, levels.len()]));
        start += levels.len();
    }
    targets
}

fn array3(values: Vec<f32>, shape: [usize; 3]) -> Array3<f32> {
    Array3::from_shape_vec(shape, values).expect("invariant: the buffer was made for this shape")
}

fn array4(values: Vec<f32>, shape: [usize; 4]) -> Array4<f32> {
    Array4::from_shape_vec(shape, values).expect("invariant: the buffer was made for this shape")
}
