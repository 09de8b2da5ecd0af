//! What the networks of real variables make of whole windows, kept where it can be used again.
//!
//! A line is what one variable's network makes of every row, `[H]` each. Its rows depend on their values alone, so
//! a line that is at hand is brought up to date by computing the rows whose values differ.

use ndarray::ArrayView2;

use crate::engine::kernels::selection::SelectionScratch;
use crate::engine::plan::RealPlan;
use crate::engine::rows::{GroupWork, RowShape, group, group_mut};
use crate::engine::simd::{Simd, floats, floats_mut};

/// The real inputs of one window, `[variable]` of each row.
#[derive(Debug)]
pub(super) struct WindowInputs<S> {
    pub(super) reals: Vec<S>,
    /// Of each variable: whether its values are those of the common line.
    pub(super) is_common: Vec<bool>,
}

/// The line of a variable that many windows have the same values of: calendar inputs, statistics of the fleet.
#[derive(Debug)]
pub(super) struct CommonLine<S> {
    /// The value of each row.
    values: Vec<S>,
    pub(super) outputs: Vec<S>,
    is_filled: bool,
}

/// A row to be computed anew, of the line of some window.
#[derive(Debug, Clone, Copy)]
pub(super) struct StaleRow {
    pub(super) window: usize,
    pub(super) row: usize,
    pub(super) value: f32,
}

/// Rows of one variable to be computed anew.
#[derive(Debug, Clone, Default)]
pub(super) struct StaleRows {
    pub(super) rows: Vec<StaleRow>,
    /// How many of them are of windows before the one at hand.
    pub(super) settled: usize,
}

/// Where computed rows go.
pub(super) trait Lines<S> {
    /// The line of a window, if there is one.
    fn line(&mut self, window: usize) -> Option<&mut [S]>;
}

/// The one line that all rows belong to.
struct OneLine<'a, S>(&'a mut [S]);

/// Computes lines of one variable.
pub(super) struct LineWriter<'a, S> {
    pub(super) real: &'a RealPlan,
    pub(super) hidden: usize,
    pub(super) shape: RowShape,
    pub(super) scratch: &'a mut [Vec<S>; 3],
}

/// A whole line of a variable, from the inputs of a window.
struct WholeLine<'a, 'w, S> {
    writer: &'a mut LineWriter<'w, S>,
    inputs: &'a WindowInputs<S>,
    variable: usize,
    line: &'a mut [S],
}

impl<S: Simd> WindowInputs<S> {
    pub(super) fn new(variables: usize, shape: RowShape) -> Self {
        Self { reals: vec![S::splat(0.0); variables * shape.vectors], is_common: vec![false; variables] }
    }

    /// Copies a window's values, `[step][column]`; what lies beyond its length is 0. Tells which variable has
    /// changed in which row.
    #[inline(always)]
    pub(super) fn read(
        &mut self,
        columns: &[usize],
        shape: RowShape,
        (values, length): (ArrayView2<'_, f32>, usize),
        mut changed: impl FnMut(usize, usize),
    ) {
        let out = floats_mut(&mut self.reals);
        for (step, values) in values.rows().into_iter().enumerate() {
            let row = shape.row_of(step);
            let place = shape.place_of_row(columns.len(), row);
            for (variable, &column) in columns.iter().enumerate() {
                let value = if step < length { values[column] } else { 0.0 };
                let held = &mut out[place.start + variable * place.stride];
                if held.to_bits() != value.to_bits() {
                    *held = value;
                    changed(variable, row);
                }
            }
        }
    }

    /// The value of a variable in a row.
    #[inline(always)]
    pub(super) fn value(&self, shape: RowShape, variable: usize, row: usize) -> f32 {
        let place = shape.place_of_row(self.is_common.len(), row);
        floats(&self.reals)[place.start + variable * place.stride]
    }

    /// Whether a variable has the same value as in another window in every row.
    #[inline(always)]
    pub(super) fn repeats(&self, other: &Self, shape: RowShape, variable: usize) -> bool {
        let mut parts = shape.vectors_of(self.is_common.len(), variable);
        parts.all(|(vectors, _)| are_same(&self.reals[vectors.clone()], &other.reals[vectors]))
    }

    /// Notes which variables have the values of the common lines.
    #[inline(always)]
    pub(super) fn compare(&mut self, shape: RowShape, common: &[CommonLine<S>]) {
        for (variable, line) in common.iter().enumerate() {
            let mut parts = shape.vectors_of(common.len(), variable);
            self.is_common[variable] = line.is_filled
                && parts.all(|(vectors, rows)| are_same(&self.reals[vectors], &line.values[rows]));
        }
    }
}

impl<S: Simd> CommonLine<S> {
    pub(super) fn new() -> Self {
        Self { values: Vec::new(), outputs: Vec::new(), is_filled: false }
    }

    /// Brings the line to the values that a variable has in a window.
    #[inline(always)]
    pub(super) fn follow<const G: usize>(
        &mut self,
        writer: &mut LineWriter<'_, S>,
        inputs: &WindowInputs<S>,
        variable: usize,
        stale: &mut Vec<StaleRow>,
    ) {
        let shape = writer.shape;
        self.values.resize(shape.vectors, S::splat(0.0));
        self.outputs.resize(writer.hidden * shape.vectors, S::splat(0.0));
        stale.clear();
        for row in 0..shape.steps {
            let value = inputs.value(shape, variable, row);
            let held = &mut floats_mut(&mut self.values)[row];
            if !self.is_filled || held.to_bits() != value.to_bits() {
                *held = value;
                stale.push(StaleRow { window: 0, row, value });
            }
        }
        if stale.len() * 2 > shape.steps {
            writer.whole::<G>(inputs, variable, &mut self.outputs);
        } else {
            writer.rows::<G>(stale, &mut OneLine(&mut self.outputs));
        }
        self.is_filled = true;
    }
}

impl<S: Simd> LineWriter<'_, S> {
    /// Computes every row of a line.
    #[inline(always)]
    pub(super) fn whole<const G: usize>(
        &mut self,
        inputs: &WindowInputs<S>,
        variable: usize,
        line: &mut [S],
    ) {
        let shape = self.shape;
        shape.each_group::<S, G>(&mut WholeLine { writer: self, inputs, variable, line });
    }

    /// Computes some rows, as many at a time as there are lanes.
    #[inline(always)]
    pub(super) fn rows<const G: usize>(&mut self, stale: &[StaleRow], lines: &mut impl Lines<S>) {
        let (full, rest) = stale.split_at(stale.len() / (G * S::LANES) * G * S::LANES);
        for rows in full.chunks(G * S::LANES) {
            self.packed::<G>(rows, lines);
        }
        for rows in rest.chunks(S::LANES) {
            self.packed::<1>(rows, lines);
        }
    }

    #[inline(always)]
    fn packed<const R: usize>(&mut self, stale: &[StaleRow], lines: &mut impl Lines<S>) {
        let mut x = [S::splat(0.0); R];
        floats_mut(&mut x).iter_mut().zip(stale).for_each(|(x, row)| *x = row.value);
        let mut scratch = scratch_of::<S, R>(self.scratch);
        let outputs = self.real.apply(&x, &mut scratch);
        for (lane, stale) in stale.iter().enumerate() {
            let place = self.shape.place_of_row(self.hidden, stale.row);
            let Some(line) = lines.line(stale.window) else { continue };
            let line = floats_mut(line);
            for (feature, output) in outputs.iter().enumerate() {
                line[place.start + feature * place.stride] = floats(output)[lane];
            }
        }
    }
}

impl<S> Lines<S> for OneLine<'_, S> {
    #[inline(always)]
    fn line(&mut self, _: usize) -> Option<&mut [S]> {
        Some(self.0)
    }
}

impl<S: Simd> GroupWork<S> for WholeLine<'_, '_, S> {
    #[inline(always)]
    fn run<const R: usize>(&mut self, row: usize) {
        let variables = self.inputs.is_common.len();
        let x = &group::<S, R>(&self.inputs.reals, variables, row)[self.variable];
        let mut scratch = scratch_of::<S, R>(self.writer.scratch);
        let outputs = self.writer.real.apply(x, &mut scratch);
        group_mut(self.line, self.writer.hidden, row).copy_from_slice(outputs);
    }
}

/// The vectors that a selection network works with.
#[inline(always)]
pub(super) fn scratch_of<S: Simd, const R: usize>(parts: &mut [Vec<S>; 3]) -> SelectionScratch<'_, S, R> {
    let [hidden, skip, unit] = parts;
    SelectionScratch {
        hidden: hidden.as_chunks_mut::<R>().0,
        skip: skip.as_chunks_mut::<R>().0,
        unit: unit.as_chunks_mut::<R>().0,
    }
}

/// Whether all numbers are the same to the last bit.
#[inline(always)]
fn are_same<S: Simd>(some: &[S], others: &[S]) -> bool {
    let pairs = floats(some).iter().zip(floats(others));
    pairs.fold(0, |differ, (a, b)| differ | (a.to_bits() ^ b.to_bits())) == 0
}
