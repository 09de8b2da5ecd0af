//! The forward pass of some windows on one thread.
//!
//! Block after block of windows: static variables and their contexts, all windows of the block side by side, and
//! what is kept of their series brought up to date; then tile after tile: select variables, run the LSTMs of the
//! tile together, and finish each window. All buffers are kept from pass to pass.
#![allow(clippy::inline_always, reason = "code must end up inside the function of its instruction set")]

mod decode;
mod lines;
mod select;
mod series;
mod statics;

use std::any::Any;
use std::ops::Range;

use self::decode::{Decoder, DecoderInput};
use self::select::{Side, SideInputs};
use self::series::SeriesMemory;
use self::statics::Statics;
use super::kernels::lstm::{LstmSequence, LstmState};
use super::outputs::OutputPart;
use super::plan::{LstmPlan, Plan};
use super::rows::RowShape;
use super::simd::{Simd, Work};
use super::stream::StreamPart;
use crate::model::TensorBatch;

/// Some windows of a batch and where their outputs go.
pub(super) struct Forward<'a> {
    pub(super) plan: &'a Plan,
    pub(super) batch: &'a TensorBatch,
    pub(super) first: usize,
    pub(super) stream: Option<StreamPart<'a>>,
    pub(super) outputs: OutputPart<'a>,
    /// The buffers of a pass before, or any.
    pub(super) workspace: &'a mut Option<Box<dyn Any + Send>>,
}

/// The buffers of a thread.
#[derive(Debug)]
struct Workspace<S> {
    /// Of the encoder and the decoder, not rotated.
    shapes: [RowShape; 2],
    statics: Statics<S>,
    sides: [Side<S>; 2],
    tile: Vec<WindowRows<S>>,
    decoder: Decoder<S>,
}

/// The sequences of one window of a tile.
#[derive(Debug)]
struct WindowRows<S> {
    /// `[H]` of each encoder and decoder step: what was selected.
    selected: [Vec<S>; 2],
    /// `[H]` of each encoder and decoder step: what the LSTMs made of it.
    recurrent: [Vec<S>; 2],
    /// What the layer below made, for LSTM layers above the first.
    below: [Vec<S>; 2],
    /// By LSTM layer.
    states: Vec<LstmState>,
}

/// The windows of a tile on one side.
struct TileSide<'a, F> {
    plans: &'a [LstmPlan],
    side: usize,
    windows: Range<usize>,
    /// Where the steps of a window lie, and how many are valid.
    steps: F,
}

impl<S: Simd> Workspace<S> {
    fn new<const G: usize>(plan: &Plan, shapes: [RowShape; 2]) -> Self {
        let rows = |shape: RowShape| vec![S::splat(0.0); plan.hidden * shape.vectors];
        let is_deep = plan.lstm_encoder.len() > 1;
        let window = || WindowRows {
            selected: shapes.map(rows),
            recurrent: shapes.map(rows),
            below: shapes.map(|shape| if is_deep { rows(shape) } else { Vec::new() }),
            states: plan.lstm_encoder.iter().map(LstmState::new).collect(),
        };
        Self {
            shapes,
            statics: Statics::new::<G>(plan, Forward::BLOCK),
            sides: [
                Side::new(&plan.encoder, plan.hidden, shapes[0]),
                Side::new(&plan.decoder, plan.hidden, shapes[1]),
            ],
            tile: (0..Forward::TILE).map(|_| window()).collect(),
            decoder: Decoder::new(plan, shapes),
        }
    }
}

impl Forward<'_> {
    /// Windows whose LSTMs run side by side: their sums fill the registers.
    pub(super) const TILE: usize = 4;
    /// Windows whose static variables run side by side: they fill the lanes of a group.
    const BLOCK: usize = 64;

    #[inline(always)]
    fn forward<S: Simd, const G: usize>(mut self) {
        let steps = [self.batch.encoder_steps(), self.batch.decoder_steps()];
        let shapes = steps.map(|steps| RowShape::new::<S>(steps, G));
        let kept = self.workspace.take().and_then(|kept| kept.downcast::<Workspace<S>>().ok());
        let mut workspace = kept
            .filter(|kept| kept.shapes == shapes)
            .unwrap_or_else(|| Box::new(Workspace::new::<G>(self.plan, shapes)));
        let windows = self.outputs.windows;
        for start in (0..windows).step_by(Self::BLOCK) {
            self.block::<S, G>(&mut workspace, start, windows.min(start + Self::BLOCK));
        }
        *self.workspace = Some(workspace);
    }

    #[inline(always)]
    fn block<S: Simd, const G: usize>(&mut self, of: &mut Workspace<S>, start: usize, end: usize) {
        let (plan, batch, first) = (self.plan, self.batch, self.first);
        of.statics.run::<G>(plan, (batch, first + start, end - start), start, &mut self.outputs);
        let inputs = SideInputs::both(batch);
        let positions = self.stream.as_ref().map(|stream| stream.windows);
        let encoder = of.shapes[0];
        let shape = |window: usize| {
            positions.map_or(encoder, |windows| encoder.rotated_to(windows[window].first_step))
        };
        let (of_batch, decoder) = (first + start..first + end, of.shapes[1]);
        let of_encoder = |window: usize| shape(window - first);
        of.sides[0].look_for_common::<G>(&plan.encoder, &inputs[0], of_batch.clone(), of_encoder);
        of.sides[1].look_for_common::<G>(&plan.decoder, &inputs[1], of_batch, |_| decoder);
        if let Some(stream) = &mut self.stream {
            let slots = &mut stream.slots[start..end];
            let windows = (&inputs[0], first + start);
            let of_block = |window: usize| shape(start + window);
            let plan = (plan.id, &plan.encoder);
            of.sides[0].update::<G>(plan, windows, stream.cache, of_block, slots);
        }
        for tile in (start..end).step_by(Self::TILE) {
            self.tile::<S, G>(of, &inputs, start, tile..end.min(tile + Self::TILE), &shape);
        }
    }

    /// Runs the windows of a tile, of the block that starts at `start`.
    #[inline(always)]
    fn tile<S: Simd, const G: usize>(
        &mut self,
        of: &mut Workspace<S>,
        inputs: &[SideInputs<'_>; 2],
        start: usize,
        windows: Range<usize>,
        shape: &impl Fn(usize) -> RowShape,
    ) {
        let plan = self.plan;
        for (window, rows) in windows.clone().zip(&mut of.tile) {
            let context = &of.statics.windows[window - start];
            let slot = self.stream.as_ref().map(|stream| &stream.slots[window]);
            let memories = [slot.and_then(SeriesMemory::of), None];
            let shapes = [shape(window), of.shapes[1]];
            let parts = [
                (&plan.encoder, &context.encoder, &mut *self.outputs.encoder_weights),
                (&plan.decoder, &context.decoder, &mut *self.outputs.decoder_weights),
            ];
            for (side, (plan, context, weights)) in parts.into_iter().enumerate() {
                let (buffers, selected) = (&mut of.sides[side], &mut rows.selected[side]);
                let input = (&inputs[side], self.first + window);
                buffers.select::<G>(plan, input, shapes[side], memories[side], context, selected);
                buffers.report(plan, shapes[side], window, weights);
            }
            for state in &mut rows.states {
                state.start(&context.hidden, &context.cell);
            }
        }
        for (side, plans) in [&plan.lstm_encoder, &plan.lstm_decoder].into_iter().enumerate() {
            let (batch, first) = (self.batch, self.first);
            let lengths = if side == 0 { &batch.encoder_lengths } else { &batch.decoder_lengths };
            let steps = |window: usize| {
                let shape = if side == 0 { shape(window) } else { of.shapes[1] };
                (shape, lengths[first + window])
            };
            TileSide { plans, side, windows: windows.clone(), steps }.recur(&mut of.tile);
        }
        for (window, rows) in windows.zip(&of.tile) {
            let (batch, of_batch) = (self.batch, self.first + window);
            let input = DecoderInput {
                rows,
                shapes: [shape(window), of.shapes[1]],
                context: &of.statics.windows[window - start].enrichment,
                lengths: [batch.encoder_lengths[of_batch], batch.decoder_lengths[of_batch]],
                window,
            };
            of.decoder.run::<G>(plan, &input, &mut self.outputs);
        }
    }
}

impl<F: Fn(usize) -> (RowShape, usize)> TileSide<'_, F> {
    /// Runs the LSTM layers, a whole tile side by side.
    #[inline(always)]
    fn recur<S: Simd>(&self, tile: &mut [WindowRows<S>]) {
        for (layer, plan) in self.plans.iter().enumerate() {
            if layer > 0 {
                for rows in tile.iter_mut() {
                    rows.below[self.side].copy_from_slice(&rows.recurrent[self.side]);
                }
            }
            let mut tile = tile.iter_mut().zip(self.windows.clone());
            let mut next = || tile.next().map(|(rows, window)| self.sequence(rows, layer, window));
            if self.windows.len() == Forward::TILE {
                let [Some(a), Some(b), Some(c), Some(d)] = [next(), next(), next(), next()] else { return };
                plan.run(&mut [a, b, c, d]);
                continue;
            }
            while let Some(sequence) = next() {
                plan.run(&mut [sequence]);
            }
        }
    }

    #[inline(always)]
    fn sequence<'r, S: Simd>(
        &self,
        rows: &'r mut WindowRows<S>,
        layer: usize,
        window: usize,
    ) -> LstmSequence<'r, S> {
        let (shape, length) = (self.steps)(window);
        let WindowRows { selected, recurrent, below, states } = rows;
        let input = if layer == 0 { &selected[self.side] } else { &below[self.side] };
        LstmSequence { shape, input, output: &mut recurrent[self.side], length, state: &mut states[layer] }
    }
}

impl Work for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self) {
        // With 32 registers sixteen sums of four vectors fit, with 16 eight of two.
        if S::LANES == 16 { self.forward::<S, 4>() } else { self.forward::<S, 2>() }
    }
}
