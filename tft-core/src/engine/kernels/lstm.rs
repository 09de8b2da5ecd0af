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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernels::linear::tests::Layer;
    use crate::engine::kernels::near::{Near, Numbers, assert_near, near};
    use crate::engine::simd::{Isa, Work};

    const WIDTHS: &[usize] = if cfg!(miri) { &[3] } else { &[1, 3, 5, 16, 17, 33] };
    const STEPS: &[usize] = if cfg!(miri) { &[2] } else { &[1, 3, 9, 19] };

    const GROUPS: &[usize] = if cfg!(miri) { &[2] } else { &[1, 2, 4] };

    /// One layer as it is written: `[gate i, f, g, o]`, each from the input and from the hidden state.
    struct Gates {
        width: usize,
        from_input: [Layer; 4],
        from_hidden: [Layer; 4],
    }

    /// One window: `[step][feature]`, its valid steps, and the state before the first.
    struct Window {
        x: Vec<Vec<f32>>,
        length: usize,
        hidden: Vec<f32>,
        cell: Vec<f32>,
    }

    /// What became of a window: `[step][unit]` and the state, as rows.
    type Outcome<T> = Vec<Vec<T>>;

    struct RunLstm<'a> {
        plan: &'a LstmPlan,
        windows: &'a [Window; 4],
        group: usize,
    }

    impl Gates {
        fn random(width: usize, numbers: &mut Numbers) -> Self {
            // Weights as small as trained ones: larger ones make the worst case of many steps say nothing.
            let mut layer = || {
                let mut layer = Layer::random(width, width, numbers);
                layer.weight.iter_mut().flatten().for_each(|weight| *weight *= 0.5);
                layer
            };
            let mut layers = || std::array::from_fn(|_| layer());
            Self { width, from_input: layers(), from_hidden: layers() }
        }

        /// Packs the layer as [`LstmPlan`] says.
        fn packed(&self) -> LstmPlan {
            let lanes = LstmPlan::LANES;
            let mut plan = LstmPlan { width: self.width, weights: Vec::new(), bias: Vec::new(), lanes };
            for block in 0..self.width.div_ceil(lanes) {
                for of in [&self.from_input, &self.from_hidden] {
                    for k in 0..self.width {
                        let weight = |gate: usize, unit: usize| of[gate].weight[unit][k];
                        plan.weights.extend(self.block(block, weight));
                    }
                }
                let bias = |gate: usize, unit: usize| {
                    self.from_input[gate].bias[unit] + self.from_hidden[gate].bias[unit]
                };
                plan.bias.extend(self.block(block, bias));
            }
            plan
        }

        fn block(&self, block: usize, value: impl Fn(usize, usize) -> f32) -> Vec<f32> {
            let units = block * LstmPlan::LANES..(block + 1) * LstmPlan::LANES;
            let of_unit = |gate, unit| if unit < self.width { value(gate, unit) } else { 0.0 };
            (0..4)
                .flat_map(|gate| units.clone().map(move |unit| (gate, unit)))
                .map(|(g, u)| of_unit(g, u))
                .collect()
        }

        /// The twin of [`LstmPlan::run`]: §4.5.1, the LSTM of Hochreiter and Schmidhuber with forget gates.
        fn of_window(&self, window: &Window) -> Outcome<Near> {
            let (mut hidden, mut cell) = (near(&window.hidden), near(&window.cell));
            let mut outcome = vec![vec![Near::from(0.0); self.width]; window.x.len()];
            for (x, output) in window.x.iter().zip(&mut outcome).take(window.length) {
                let [i, f, g, o] = std::array::from_fn(|gate| {
                    let parts = self.from_input[gate].apply(&near(x));
                    let parts = parts.into_iter().zip(self.from_hidden[gate].apply(&hidden));
                    parts.map(|(from_input, from_hidden)| from_input + from_hidden).collect::<Vec<_>>()
                });
                for unit in 0..self.width {
                    cell[unit] = f[unit].sigmoid() * cell[unit] + i[unit].sigmoid() * g[unit].tanh();
                    hidden[unit] = o[unit].sigmoid() * cell[unit].tanh();
                }
                output.clone_from(&hidden);
            }
            outcome.extend([hidden, cell]);
            outcome
        }
    }

    impl Window {
        fn random(width: usize, steps: usize, length: usize, numbers: &mut Numbers) -> Self {
            let (hidden, cell) = (numbers.take(width, 1.0), numbers.take(width, 2.0));
            Self { x: numbers.rows(steps, width, 2.0), length, hidden, cell }
        }
    }

    impl RunLstm<'_> {
        #[inline(always)]
        fn tile<S: Simd, const W: usize>(&self, windows: &[Window; W]) -> Vec<Outcome<f32>> {
            let (width, steps) = (self.plan.width, windows[0].x.len());
            let shape = RowShape::new::<S>(steps, self.group).rotated_to(2);
            let inputs = windows.each_ref().map(|window| self.laid_out::<S>(shape, &window.x));
            let mut outputs = windows.each_ref().map(|_| vec![S::splat(7.0); width * shape.vectors]);
            let mut states = windows.each_ref().map(|window| {
                let mut state = LstmState::new(self.plan);
                state.start(&window.hidden, &window.cell);
                state
            });
            let mut parts = inputs.iter().zip(&mut outputs).zip(&mut states).zip(windows);
            let mut sequences: [LstmSequence<'_, S>; W] = std::array::from_fn(|_| {
                let (((input, output), state), window) = parts.next().unwrap();
                LstmSequence { shape, input, output, length: window.length, state }
            });
            self.plan.run(&mut sequences);
            let outcome = |(output, state): (&Vec<S>, &LstmState)| {
                let of_step = |step| {
                    let place = shape.place(width, step);
                    (0..width).map(|unit| floats(output)[place.start + unit * place.stride]).collect()
                };
                let mut rows: Outcome<f32> = (0..steps).map(of_step).collect();
                rows.extend([state.hidden[..width].to_vec(), state.cell[..width].to_vec()]);
                rows
            };
            outputs.iter().zip(&states).map(outcome).collect()
        }

        #[inline(always)]
        fn laid_out<S: Simd>(&self, shape: RowShape, x: &[Vec<f32>]) -> Vec<S> {
            let mut vectors = vec![S::splat(0.0); self.plan.width * shape.vectors];
            for (step, x) in x.iter().enumerate() {
                let place = shape.place(self.plan.width, step);
                for (feature, value) in x.iter().enumerate() {
                    floats_mut(&mut vectors)[place.start + feature * place.stride] = *value;
                }
            }
            vectors
        }
    }

    impl Work for RunLstm<'_> {
        /// Each window with the others, then each alone.
        type Output = [Vec<Outcome<f32>>; 2];

        #[inline(always)]
        fn run<S: Simd>(self) -> Self::Output {
            let alone =
                self.windows.as_chunks::<1>().0.iter().flat_map(|one| self.tile::<S, 1>(one)).collect();
            [self.tile::<S, 4>(self.windows), alone]
        }
    }

    #[test]
    fn steps_are_those_of_the_formula() {
        let mut numbers = Numbers(9);
        for &width in WIDTHS {
            for &steps in STEPS {
                let gates = Gates::random(width, &mut numbers);
                let lengths = [steps, 1, steps.div_ceil(2), steps.saturating_sub(1)];
                let windows = lengths.map(|length| Window::random(width, steps, length, &mut numbers));
                check(&gates, &windows);
            }
        }
    }

    fn check(gates: &Gates, windows: &[Window; 4]) {
        let plan = gates.packed();
        let expected = windows.each_ref().map(|window| gates.of_window(window));
        for (isa, group) in
            Isa::available().into_iter().flat_map(|isa| GROUPS.iter().map(move |&group| (isa, group)))
        {
            let [together, alone] = isa.run(RunLstm { plan: &plan, windows, group });
            assert_eq!(together, alone, "{}", isa.name());
            for (found, expected) in together.iter().zip(&expected) {
                for (row, (found, expected)) in found.iter().zip(expected).enumerate() {
                    let (width, steps) = (gates.width, windows[0].x.len());
                    let name = format!("width {width}, row {row} of {steps} and 2, {}", isa.name());
                    assert_near(&name, found, expected);
                }
            }
        }
    }
}
