//! What follows the LSTMs in one window: static enrichment, attention, the position-wise network and the outputs
//! (Lim et al. 2021, §4.5.2–4.5.4).

use super::WindowRows;
use crate::engine::kernels::attention::Keys;
use crate::engine::outputs::OutputPart;
use crate::engine::plan::Plan;
use crate::engine::rows::{GroupWork, RowShape, group, group_mut};
use crate::engine::simd::{Simd, floats};

/// The buffers of one window behind its LSTMs.
pub(super) struct Decoder<'a, S> {
    plan: &'a Plan,
    shapes: [RowShape; 2],
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

struct EnrichGroups<'a, 'p, S> {
    decoder: &'a mut Decoder<'p, S>,
    rows: &'a WindowRows<S>,
    side: usize,
    context: &'a [f32],
}

struct OutputGroups<'a, 'p, S>(&'a mut Decoder<'p, S>, std::marker::PhantomData<S>);

impl<'p, S: Simd> Decoder<'p, S> {
    #[inline(always)]
    pub(super) fn new(plan: &'p Plan, shapes: [RowShape; 2]) -> Self {
        let zeros = |count: usize| vec![S::splat(0.0); count];
        let longest = shapes[0].vectors.max(shapes[1].vectors);
        let steps = shapes[0].steps + shapes[1].steps;
        let attention = &plan.attention;
        let features = attention.heads * attention.width;
        Self {
            plan,
            shapes,
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
        rows: &WindowRows<S>,
        context: &[f32],
        lengths: [usize; 2],
        window: usize,
        outputs: &mut OutputPart<'_>,
    ) {
        for side in 0..2 {
            let shape = self.shapes[side];
            shape.each_group::<S, G>(&mut EnrichGroups { decoder: self, rows, side, context });
            self.unpack_keys(side);
        }
        self.attend(lengths, window, outputs);
        let shape = self.shapes[1];
        shape.each_group::<S, G>(&mut OutputGroups(self, std::marker::PhantomData));
        let count = self.plan.output.outputs;
        let out = &mut outputs.quantiles[window * shape.steps * count..(window + 1) * shape.steps * count];
        unpack(&self.quantiles, shape, count, out);
    }

    /// Brings one side's keys and values from the lanes into rows.
    #[inline(always)]
    fn unpack_keys(&mut self, side: usize) {
        let (width, features) =
            (self.plan.attention.width, self.plan.attention.heads * self.plan.attention.width);
        let first = if side == 0 { 0 } else { self.shapes[0].steps };
        let shape = self.shapes[side];
        unpack(&self.projected[0], shape, features, &mut self.keys[first * features..]);
        unpack(&self.projected[1], shape, width, &mut self.values[first * width..]);
    }

    #[inline(always)]
    fn attend(&mut self, lengths: [usize; 2], window: usize, outputs: &mut OutputPart<'_>) {
        let attention = &self.plan.attention;
        let (heads, width) = (attention.heads, attention.width);
        let shape = self.shapes[1];
        let keys = Keys {
            features: &self.keys,
            values: &self.values,
            encoder: self.shapes[0].steps,
            encoder_length: lengths[0],
            decoder_length: lengths[1],
        };
        let [scores, mean] = &mut self.scores;
        let mut report = AttentionReport { shapes: self.shapes, heads, window, outputs };
        for vector in 0..shape.vectors {
            let first = vector * S::LANES;
            let place = shape.place(heads * width, first);
            for (feature, query) in self.queries.iter_mut().enumerate() {
                *query = self.query[(place.start + feature * place.stride) / S::LANES];
            }
            let attended = &mut self.mixture[..];
            attention.apply(&self.queries, first, &keys, [scores, mean], attended, |head, weights| {
                report.write::<S>(first, head, weights);
            });
            let place = shape.place(width, first);
            for (feature, value) in attended.iter().enumerate() {
                self.attended[(place.start + feature * place.stride) / S::LANES] = *value;
            }
        }
    }
}

/// Where the attention weights of a window go.
struct AttentionReport<'a, 'o> {
    shapes: [RowShape; 2],
    heads: usize,
    window: usize,
    outputs: &'a mut OutputPart<'o>,
}

impl AttentionReport<'_, '_> {
    /// Writes one head's weights `[key][lane]` of the queries from `first` on.
    #[inline(always)]
    fn write<S: Simd>(&mut self, first: usize, head: usize, weights: &[f32]) {
        if self.outputs.encoder_attention.is_empty() && self.outputs.decoder_attention.is_empty() {
            return;
        }
        let [encoder, decoder] = self.shapes.map(|shape| shape.steps);
        let queries = (decoder - first).min(S::LANES);
        let (of_encoder, of_decoder) = weights.split_at(encoder * S::LANES);
        let row = (self.window * decoder + first) * self.heads + head;
        for (out, weights, keys) in [
            (&mut *self.outputs.encoder_attention, of_encoder, encoder),
            (&mut *self.outputs.decoder_attention, of_decoder, decoder),
        ] {
            let stride = self.heads * keys;
            let out = &mut out[row * keys..][..(queries - 1) * stride + keys];
            for (key, lanes) in weights.chunks_exact(S::LANES).enumerate() {
                for (lane, weight) in lanes[..queries].iter().enumerate() {
                    out[lane * stride + key] = *weight;
                }
            }
        }
    }
}

impl<S: Simd> GroupWork<S> for EnrichGroups<'_, '_, S> {
    #[inline(always)]
    fn run<const R: usize>(&mut self, row: usize) {
        let decoder = &mut *self.decoder;
        let (plan, width) = (decoder.plan, decoder.plan.hidden);
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

impl<S: Simd> GroupWork<S> for OutputGroups<'_, '_, S> {
    #[inline(always)]
    fn run<const R: usize>(&mut self, row: usize) {
        let decoder = &mut *self.0;
        let (plan, width) = (decoder.plan, decoder.plan.hidden);
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
