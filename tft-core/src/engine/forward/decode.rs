//! What follows the LSTMs in one window: static enrichment, attention, the position-wise network and the outputs
//! (Lim et al. 2021, §4.5.2–4.5.4).

use super::WindowRows;
use crate::engine::kernels::attention::{Keys, Report};
use crate::engine::outputs::OutputPart;
use crate::engine::plan::Plan;
use crate::engine::rows::{GroupWork, RowShape, group, group_mut};
use crate::engine::simd::{Simd, floats};

/// The buffers of one window behind its LSTMs.
#[derive(Debug)]
pub(super) struct Decoder<S> {
    /// `[H]` of each step of one side: gated LSTM output, then enriched.
    temporal: Vec<S>,
    enriched: Vec<S>,
    query: Vec<S>,
    /// The keys and values of one side, rows in the lanes.
    projected: [Vec<S>; 2],
    /// `[key][features]`
    keys: Vec<f32>,
    values: Vec<f32>,
    scores: [Vec<S>; 2],
    /// One vector of queries, and their mixture.
    queries: Vec<S>,
    mixture: Vec<S>,
    attended: Vec<S>,
    quantiles: Vec<S>,
    scratch: [Vec<S>; 2],
}

/// A window whose LSTMs have run, and where it goes.
pub(super) struct DecoderInput<'a, S> {
    pub(super) rows: &'a WindowRows<S>,
    pub(super) shapes: [RowShape; 2],
    /// What the static enrichment adds.
    pub(super) context: &'a [f32],
    /// Valid steps.
    pub(super) lengths: [usize; 2],
    /// Its place among the outputs.
    pub(super) window: usize,
}

struct EnrichGroups<'a, S> {
    plan: &'a Plan,
    decoder: &'a mut Decoder<S>,
    rows: &'a WindowRows<S>,
    side: usize,
    context: &'a [f32],
}

struct OutputGroups<'a, S> {
    plan: &'a Plan,
    decoder: &'a mut Decoder<S>,
}

impl<S: Simd> Decoder<S> {
    pub(super) fn new(plan: &Plan, shapes: [RowShape; 2]) -> Self {
        let zeros = |count: usize| vec![S::splat(0.0); count];
        let longest = shapes[0].vectors.max(shapes[1].vectors);
        let steps = shapes[0].steps + shapes[1].steps;
        let attention = &plan.attention;
        let features = attention.heads * attention.width;
        Self {
            temporal: zeros(plan.hidden * longest),
            enriched: zeros(plan.hidden * longest),
            query: zeros(features * shapes[1].vectors),
            projected: [zeros(features * longest), zeros(attention.width * longest)],
            keys: vec![0.0; features * steps],
            values: vec![0.0; attention.width * steps],
            scores: [zeros(steps), zeros(steps)],
            queries: zeros(features),
            mixture: zeros(attention.width),
            attended: zeros(attention.width * shapes[1].vectors),
            quantiles: zeros(plan.output.outputs * shapes[1].vectors),
            scratch: std::array::from_fn(|_| zeros(plan.hidden * 4)),
        }
    }

    /// Finishes a window and writes its quantiles and attention to the outputs.
    #[inline(always)]
    pub(super) fn run<const G: usize>(
        &mut self,
        plan: &Plan,
        input: &DecoderInput<'_, S>,
        outputs: &mut OutputPart<'_>,
    ) {
        let (rows, context) = (input.rows, input.context);
        for (side, shape) in input.shapes.into_iter().enumerate() {
            shape.each_group::<S, G>(&mut EnrichGroups { plan, decoder: self, rows, side, context });
            let first = if side == 0 { 0 } else { input.shapes[0].steps };
            self.unpack_keys(plan, shape, first);
        }
        self.attend(plan, input, outputs);
        let shape = input.shapes[1];
        shape.each_group::<S, G>(&mut OutputGroups { plan, decoder: self });
        let count = plan.output.outputs;
        let size = shape.steps * count;
        unpack(&self.quantiles, shape, count, &mut outputs.quantiles[input.window * size..][..size]);
    }

    /// Brings one side's keys and values from the lanes into rows, from key `first` on.
    #[inline(always)]
    fn unpack_keys(&mut self, plan: &Plan, shape: RowShape, first: usize) {
        let (width, features) = (plan.attention.width, plan.attention.heads * plan.attention.width);
        unpack(&self.projected[0], shape, features, &mut self.keys[first * features..]);
        unpack(&self.projected[1], shape, width, &mut self.values[first * width..]);
    }

    #[inline(always)]
    fn attend(&mut self, plan: &Plan, input: &DecoderInput<'_, S>, outputs: &mut OutputPart<'_>) {
        let attention = &plan.attention;
        let (heads, width) = (attention.heads, attention.width);
        let [encoder, shape] = input.shapes;
        let keys = Keys {
            features: &self.keys,
            values: &self.values,
            encoder: encoder.steps,
            encoder_length: input.lengths[0],
            decoder_length: input.lengths[1],
        };
        let [scores, mean] = &mut self.scores;
        let mut report = AttentionReport { shapes: input.shapes, heads, window: input.window, outputs };
        for vector in 0..shape.vectors {
            let first = vector * S::LANES;
            let place = shape.place(heads * width, first);
            for (feature, query) in self.queries.iter_mut().enumerate() {
                *query = self.query[(place.start + feature * place.stride) / S::LANES];
            }
            let attended = &mut self.mixture[..];
            attention.apply(&self.queries, first, &keys, [scores, mean], attended, &mut report);
            let place = shape.place(width, first);
            for (feature, value) in attended.iter().enumerate() {
                self.attended[(place.start + feature * place.stride) / S::LANES] = *value;
            }
        }
    }
}

/// Lanes of the widest vector.
const MOST_LANES: usize = 16;

/// Where the attention weights of a window go.
struct AttentionReport<'a, 'o> {
    shapes: [RowShape; 2],
    heads: usize,
    window: usize,
    outputs: &'a mut OutputPart<'o>,
}

impl Report for AttentionReport<'_, '_> {
    #[inline(always)]
    fn is_wanted(&self) -> bool {
        !(self.outputs.encoder_attention.is_empty() && self.outputs.decoder_attention.is_empty())
    }

    #[inline(always)]
    fn write<S: Simd>(&mut self, first: usize, head: usize, weights: &[S]) {
        let [encoder, decoder] = self.shapes.map(|shape| shape.steps);
        let queries = (decoder - first).min(S::LANES);
        let (of_encoder, of_decoder) = weights.split_at(encoder);
        let row = (self.window * decoder + first) * self.heads + head;
        for (out, weights, keys) in [
            (&mut *self.outputs.encoder_attention, of_encoder, encoder),
            (&mut *self.outputs.decoder_attention, of_decoder, decoder),
        ] {
            let stride = self.heads * keys;
            let out = &mut out[row * keys..][..(queries - 1) * stride + keys];
            let squares = weights.chunks_exact(S::LANES);
            let rest = squares.remainder();
            for (square, weights) in squares.enumerate() {
                let mut of_queries = [S::splat(0.0); MOST_LANES];
                let of_queries = &mut of_queries[..S::LANES];
                of_queries.copy_from_slice(weights);
                S::transpose(of_queries);
                for (query, of_query) in of_queries[..queries].iter().enumerate() {
                    of_query.store(&mut out[query * stride + square * S::LANES..]);
                }
            }
            for (key, lanes) in rest.iter().enumerate() {
                let key = keys - rest.len() + key;
                for (query, weight) in floats(std::slice::from_ref(lanes))[..queries].iter().enumerate() {
                    out[query * stride + key] = *weight;
                }
            }
        }
    }
}

impl<S: Simd> GroupWork<S> for EnrichGroups<'_, S> {
    #[inline(always)]
    fn run<const R: usize>(&mut self, row: usize) {
        let (plan, decoder) = (self.plan, &mut *self.decoder);
        let width = plan.hidden;
        let hidden = decoder.scratch[0].as_chunks_mut::<R>().0;
        let temporal = group_mut(&mut decoder.temporal, width, row);
        let recurrent = group(&self.rows.recurrent[self.side], width, row);
        let selected = group(&self.rows.selected[self.side], width, row);
        plan.post_lstm.apply(recurrent, selected, temporal);
        let enriched = group_mut(&mut decoder.enriched, width, row);
        plan.enrichment.apply(temporal, Some(self.context), hidden, enriched);
        let attention = &plan.attention;
        let features = attention.heads * attention.width;
        let [keys, values] = &mut decoder.projected;
        attention.key.apply(enriched, group_mut(keys, features, row));
        attention.value.apply(enriched, group_mut(values, attention.width, row));
        if self.side == 1 {
            attention.query.apply(enriched, group_mut(&mut decoder.query, features, row));
        }
    }
}

impl<S: Simd> GroupWork<S> for OutputGroups<'_, S> {
    #[inline(always)]
    fn run<const R: usize>(&mut self, row: usize) {
        let (plan, decoder) = (self.plan, &mut *self.decoder);
        let width = plan.hidden;
        let [hidden, first] = &mut decoder.scratch;
        let (hidden, first) = (hidden.as_chunks_mut::<R>().0, first.as_chunks_mut::<R>().0);
        let enriched = group_mut(&mut decoder.enriched, width, row);
        let first = &mut first[..width];
        plan.post_attention.apply(group(&decoder.attended, plan.attention.width, row), enriched, first);
        plan.position_wise.apply(first, None, hidden, enriched);
        plan.pre_output.apply(enriched, group(&decoder.temporal, width, row), first);
        plan.output.apply(first, group_mut(&mut decoder.quantiles, plan.output.outputs, row));
    }
}

/// Brings features from the lanes into rows `[step][features]`.
#[inline(always)]
fn unpack<S: Simd>(rows: &[S], shape: RowShape, features: usize, out: &mut [f32]) {
    let rows = floats(rows);
    for (step, out) in out.chunks_exact_mut(features.max(1)).take(shape.steps).enumerate() {
        let place = shape.place(features, step);
        for (feature, out) in out.iter_mut().enumerate() {
            *out = rows[place.start + feature * place.stride];
        }
    }
}
