//! The steps of an LSTM layer for several windows side by side: units in the lanes.

use super::activation::{sigmoid, tanh};
use crate::engine::plan::LstmPlan;
use crate::engine::rows::{RowShape, StepPlace};
use crate::engine::simd::{Simd, floats, floats_mut};

/// The state of one window in one layer; as long as the layer's unit blocks.
#[derive(Debug, Clone)]
pub(crate) struct LstmState {
    pub(crate) hidden: Vec<f32>,
    pub(crate) cell: Vec<f32>,
    next: Vec<f32>,
}

/// One window's sequence: where its steps lie, what it reads, how many steps are valid, and where its output goes.
pub(crate) struct LstmSequence<'a, S> {
    pub(crate) shape: RowShape,
    pub(crate) input: &'a [S],
    pub(crate) output: &'a mut [S],
    pub(crate) length: usize,
    pub(crate) state: &'a mut LstmState,
}

impl LstmState {
    pub(crate) fn new(plan: &LstmPlan) -> Self {
        let zeros = vec![0.0; plan.width.div_ceil(plan.lanes) * plan.lanes];
        Self { hidden: zeros.clone(), cell: zeros.clone(), next: zeros }
    }

    /// Starts from a layer's width of numbers each.
    pub(crate) fn start(&mut self, hidden: &[f32], cell: &[f32]) {
        self.hidden[..hidden.len()].copy_from_slice(hidden);
        self.cell[..cell.len()].copy_from_slice(cell);
    }
}

impl LstmPlan {
    /// Runs all steps of W windows. Beyond a window's length its output is 0 and its state stays.
    #[inline(always)]
    pub(crate) fn run<S: Simd, const W: usize>(&self, windows: &mut [LstmSequence<'_, S>; W]) {
        for step in 0..windows[0].shape.steps {
            for block in 0..self.width.div_ceil(self.lanes) {
                for part in (0..self.lanes).step_by(S::LANES) {
                    self.advance(windows, step, [block, part]);
                }
            }
            for window in windows.iter_mut() {
                self.finish(window, step);
            }
        }
    }

    /// Computes the units of one vector: `c' = σ(f)·c + σ(i)·tanh(g)`, `h' = σ(o)·tanh(c')`.
    #[inline(always)]
    fn advance<S: Simd, const W: usize>(
        &self,
        windows: &mut [LstmSequence<'_, S>; W],
        step: usize,
        [block, part]: [usize; 2],
    ) {
        let (gates, inputs) = (4 * self.lanes, 2 * self.width);
        let weights = &self.weights[block * inputs * gates..(block + 1) * inputs * gates];
        let bias = &self.bias[block * gates..(block + 1) * gates];
        let mut start = [S::splat(0.0); 4];
        for gate in 0..4 {
            start[gate] = S::load(&bias[gate * self.lanes + part..]);
        }
        let mut sums: [[S; 4]; W] = [start; W];
        let (from_input, from_hidden) = weights.split_at(self.width * gates);
        let mut places = [StepPlace::default(); W];
        for w in 0..W {
            places[w] = windows[w].shape.place(self.width, step);
        }
        for (k, weights) in from_input.chunks_exact(gates).enumerate() {
            let at = |w: usize| places[w].start + k * places[w].stride;
            add(&mut sums, weights, part, self.lanes, |w| floats(windows[w].input)[at(w)]);
        }
        for (k, weights) in from_hidden.chunks_exact(gates).enumerate() {
            add(&mut sums, weights, part, self.lanes, |w| windows[w].state.hidden[k]);
        }
        let unit = block * self.lanes + part;
        for w in 0..W {
            if step >= windows[w].length {
                continue;
            }
            let [input, forget, candidate, output] = sums[w];
            let state = &mut *windows[w].state;
            let kept = sigmoid(forget).mul(S::load(&state.cell[unit..]));
            let cell = sigmoid(input).mul_add(tanh(candidate), kept);
            cell.store(&mut state.cell[unit..]);
            sigmoid(output).mul(tanh(cell)).store(&mut state.next[unit..]);
        }
    }

    /// Makes the new hidden state the current one and writes it out.
    #[inline(always)]
    fn finish<S: Simd>(&self, window: &mut LstmSequence<'_, S>, step: usize) {
        let place = window.shape.place(self.width, step);
        let output = floats_mut(window.output);
        if step >= window.length {
            (0..self.width).for_each(|unit| output[place.start + unit * place.stride] = 0.0);
            return;
        }
        let state = &mut *window.state;
        std::mem::swap(&mut state.hidden, &mut state.next);
        for (unit, value) in state.hidden[..self.width].iter().enumerate() {
            output[place.start + unit * place.stride] = *value;
        }
    }
}

/// Adds one input's part to the four gates of every window.
#[inline(always)]
fn add<S: Simd, const W: usize>(
    sums: &mut [[S; 4]; W],
    weights: &[f32],
    part: usize,
    lanes: usize,
    value: impl Fn(usize) -> f32,
) {
    let mut of_gates = [S::splat(0.0); 4];
    for gate in 0..4 {
        of_gates[gate] = S::load(&weights[gate * lanes + part..]);
    }
    for w in 0..W {
        let value = S::splat(value(w));
        for gate in 0..4 {
            sums[w][gate] = of_gates[gate].mul_add(value, sums[w][gate]);
        }
    }
}
