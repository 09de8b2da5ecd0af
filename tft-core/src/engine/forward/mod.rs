//! The forward pass of some windows on one thread.
//!
//! Static variables and their contexts first, all windows side by side; then tile after tile of windows: select
//! variables, run the LSTMs of the tile together, and finish each window.
#![allow(clippy::inline_always, reason = "code must end up inside the function of its instruction set")]

mod decode;
mod select;
mod statics;

use self::decode::Decoder;
use self::select::Side;
use self::statics::Statics;
use super::kernels::lstm::{LstmSequence, LstmState};
use super::outputs::OutputPart;
use super::plan::{LstmPlan, Plan};
use super::rows::RowShape;
use super::simd::{Simd, Work};
use crate::model::TensorBatch;

/// Some windows of a batch and where their outputs go.
pub(super) struct Forward<'a> {
    pub(super) plan: &'a Plan,
    pub(super) batch: &'a TensorBatch,
    pub(super) first: usize,
    pub(super) outputs: OutputPart<'a>,
}

/// The sequences of one window of a tile.
pub(super) struct WindowRows<S> {
    /// `[H]` of each encoder and decoder step: what was selected.
    selected: [Vec<S>; 2],
    /// `[H]` of each encoder and decoder step: what the LSTMs made of it.
    recurrent: [Vec<S>; 2],
}

impl Forward<'_> {
    /// Windows whose LSTMs run side by side: their sums fill the registers.
    pub(super) const TILE: usize = 4;

    #[inline(always)]
    fn forward<S: Simd, const G: usize>(mut self) {
        let (plan, batch) = (self.plan, self.batch);
        let statics = Statics::of::<S, G>(plan, batch, self.first, &mut self.outputs);
        let shapes = [batch.encoder_steps(), batch.decoder_steps()];
        let shapes = shapes.map(|steps| RowShape::new::<S>(steps, G));
        let mut sides = [
            Side::new(&plan.encoder, plan.hidden, shapes[0]),
            Side::new(&plan.decoder, plan.hidden, shapes[1]),
        ];
        let rows = |shape: RowShape| vec![S::splat(0.0); plan.hidden * shape.vectors];
        let mut tile: Vec<WindowRows<S>> = (0..Self::TILE)
            .map(|_| WindowRows { selected: shapes.map(rows), recurrent: shapes.map(rows) })
            .collect();
        let mut decoder = Decoder::new(plan, shapes);
        let mut next = 0;
        while next < self.outputs.windows {
            let count = Self::TILE.min(self.outputs.windows - next);
            for (place, rows) in tile[..count].iter_mut().enumerate() {
                let window = next + place;
                sides[0].select::<G>(batch, self.first + window, &statics.windows[window].encoder, rows, 0);
                sides[0].report(window, self.outputs.encoder_weights);
                sides[1].select::<G>(batch, self.first + window, &statics.windows[window].decoder, rows, 1);
                sides[1].report(window, self.outputs.decoder_weights);
            }
            self.recur(&mut tile[..count], next, &statics, shapes);
            for (place, rows) in tile[..count].iter().enumerate() {
                let window = next + place;
                let lengths =
                    [batch.encoder_lengths[self.first + window], batch.decoder_lengths[self.first + window]];
                decoder.run::<G>(
                    rows,
                    &statics.windows[window].enrichment,
                    lengths,
                    window,
                    &mut self.outputs,
                );
            }
            next += count;
        }
    }

    /// Runs both LSTMs of a tile.
    #[inline(always)]
    fn recur<S: Simd>(
        &self,
        tile: &mut [WindowRows<S>],
        first: usize,
        statics: &Statics,
        shapes: [RowShape; 2],
    ) {
        let layers = self.plan.lstm_encoder.len();
        let state = |window: usize, plan: &LstmPlan| {
            let of = &statics.windows[first + window];
            LstmState::new(plan, &of.hidden, &of.cell)
        };
        let mut states: Vec<Vec<LstmState>> = (0..tile.len())
            .map(|window| self.plan.lstm_encoder.iter().map(|plan| state(window, plan)).collect())
            .collect();
        let lengths = [&self.batch.encoder_lengths, &self.batch.decoder_lengths];
        for (side, plans) in [&self.plan.lstm_encoder, &self.plan.lstm_decoder].into_iter().enumerate() {
            let mut inputs: Vec<Vec<S>> = tile.iter().map(|rows| rows.selected[side].clone()).collect();
            for layer in 0..layers {
                let parts = tile.iter_mut().zip(&inputs).zip(&mut states).enumerate();
                let mut sequences: Vec<LstmSequence<'_, S>> = parts
                    .map(|(window, ((rows, input), states))| LstmSequence {
                        input,
                        output: &mut rows.recurrent[side],
                        length: lengths[side][self.first + first + window],
                        state: &mut states[layer],
                    })
                    .collect();
                run_sequences(&plans[layer], shapes[side], &mut sequences);
                if layer + 1 < layers {
                    for (input, rows) in inputs.iter_mut().zip(&*tile) {
                        input.copy_from_slice(&rows.recurrent[side]);
                    }
                }
            }
        }
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

#[inline(always)]
fn run_sequences<S: Simd>(plan: &LstmPlan, shape: RowShape, sequences: &mut [LstmSequence<'_, S>]) {
    if let Ok(four) = <&mut [LstmSequence<'_, S>; 4]>::try_from(&mut *sequences) {
        plan.run(shape, four);
        return;
    }
    for one in sequences.as_chunks_mut::<1>().0 {
        plan.run(shape, one);
    }
}
