//! Variable selection of a group of rows: weights first, then each variable's network, added up as it comes.

use super::activation::elu;
use super::norm::softmax;
use super::residual::activate;
use crate::engine::plan::{RealPlan, SelectionPlan, WeighingPlan};
use crate::engine::rows::group_mut;
use crate::engine::simd::{Simd, floats_mut};

/// What a group of rows is selected from.
pub(crate) struct SelectionInput<'a, S, const R: usize> {
    /// The scalar of each real variable.
    pub(crate) reals: &'a [[S; R]],
    /// The class codes of each row, `[row][column]`; rows beyond the last have the codes of the first class.
    pub(crate) codes: &'a [u32],
    pub(crate) code_columns: usize,
    /// What the context adds to the hidden layer of the weighing network.
    pub(crate) context: Option<&'a [f32]>,
}

/// What a real variable's network made of the window before, for windows that have the same values: calendar
/// inputs and statistics of the fleet are equal for all servers.
#[derive(Debug, Clone)]
pub(crate) struct SharedVariable<S> {
    /// `[H]` of every row; empty until a window repeats the one before.
    pub(crate) outputs: Vec<S>,
    pub(crate) state: Sharing,
}

/// Whether a variable's outputs are at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// The values are new, and may never come again.
    New,
    /// The values came a second time: keep what is made of them.
    Keep,
    /// What was kept is still right.
    Kept,
}

/// Vectors to work with.
pub(crate) struct SelectionScratch<'a, S, const R: usize> {
    pub(crate) hidden: &'a mut [[S; R]],
    pub(crate) skip: &'a mut [[S; R]],
    pub(crate) unit: &'a mut [[S; R]],
}

impl SelectionPlan {
    /// Writes the mixture of the variables and their weights.
    #[inline(always)]
    pub(crate) fn apply<S: Simd, const R: usize>(
        &self,
        input: &SelectionInput<'_, S, R>,
        scratch: &mut SelectionScratch<'_, S, R>,
        (shared, row): (&mut [SharedVariable<S>], usize),
        weights: &mut [[S; R]],
        y: &mut [[S; R]],
    ) {
        y.fill([S::splat(0.0); R]);
        match &self.weighing {
            Some(weighing) => weighing.apply(input, scratch, weights),
            None => weights.fill([S::splat(1.0); R]),
        }
        for (categorical, weight) in self.categoricals.iter().zip(&*weights) {
            let features = y.len();
            let of_row = |row: usize, feature: usize| -> f32 {
                let code = input.code(row, categorical.columns[0]);
                categorical.table[code as usize * features + feature]
            };
            if categorical.columns.len() == 1 {
                add_gathered(of_row, weight, y);
            } else {
                let rows: Vec<Vec<f32>> = (0..R * S::LANES)
                    .map(|row| {
                        let codes = categorical.columns.iter().map(|&column| input.code(row, column));
                        categorical.of_codes(&codes.collect::<Vec<_>>())
                    })
                    .collect();
                add_gathered(|row, feature| rows[row][feature], weight, y);
            }
        }
        let of_reals = input.reals.iter().zip(&weights[self.categoricals.len()..]);
        for (index, (real, (x, weight))) in self.reals.iter().zip(of_reals).enumerate() {
            let Some(shared) = shared.get_mut(index).filter(|shared| shared.state != Sharing::New) else {
                real.unit(x, scratch);
                real.norm.add_weighted(&scratch.unit[..y.len()], weight, y);
                continue;
            };
            let outputs = group_mut(&mut shared.outputs, y.len(), row);
            if shared.state == Sharing::Keep {
                real.unit(x, scratch);
                outputs.copy_from_slice(&scratch.unit[..y.len()]);
            }
            real.norm.add_weighted(outputs, weight, y);
        }
    }
}

impl RealPlan {
    /// Computes the variable's network of one scalar per row up to its last norm.
    #[inline(always)]
    fn unit<S: Simd, const R: usize>(&self, x: &[S; R], scratch: &mut SelectionScratch<'_, S, R>) {
        let hidden = &mut scratch.hidden[..self.hidden.len()];
        for (hidden, &[slope, bias]) in hidden.iter_mut().zip(&self.hidden) {
            let (slope, bias) = (S::splat(slope), S::splat(bias));
            for r in 0..R {
                hidden[r] = elu(x[r].mul_add(slope, bias));
            }
        }
        let skip = &mut scratch.skip[..self.skip.len()];
        for (skip, &[slope, bias]) in skip.iter_mut().zip(&self.skip) {
            let (slope, bias) = (S::splat(slope), S::splat(bias));
            for r in 0..R {
                skip[r] = x[r].mul_add(slope, bias);
            }
        }
        if let Some(norm) = &self.skip_norm {
            norm.apply(skip);
        }
        let unit = &mut scratch.unit[..self.gate.outputs];
        self.gate.apply(hidden, skip, unit);
    }
}

impl WeighingPlan {
    #[inline(always)]
    fn apply<S: Simd, const R: usize>(
        &self,
        input: &SelectionInput<'_, S, R>,
        scratch: &mut SelectionScratch<'_, S, R>,
        weights: &mut [[S; R]],
    ) {
        let whole = &mut scratch.hidden[..self.first.outputs];
        self.first.apply(input.reals, whole);
        let one = [S::splat(1.0); R];
        for (column, table) in &self.tables {
            let width = self.first.outputs;
            let of_row =
                |row: usize, feature: usize| table[input.code(row, *column) as usize * width + feature];
            add_gathered(of_row, &one, whole);
        }
        let (hidden, skip) = whole.split_at_mut(self.hidden);
        activate(hidden, input.context);
        if let Some(norm) = &self.skip_norm {
            norm.apply(skip);
        }
        self.gate.apply(hidden, skip, weights);
        self.norm.apply(weights);
        softmax(weights);
    }
}

impl<S: Simd, const R: usize> SelectionInput<'_, S, R> {
    /// The class of a row of the group.
    #[inline(always)]
    fn code(&self, row: usize, column: usize) -> u32 {
        self.codes.get(row * self.code_columns + column).copied().unwrap_or(0)
    }
}

/// Adds numbers that are looked up row by row, times a weight.
#[inline(always)]
fn add_gathered<S: Simd, const R: usize>(
    of_row: impl Fn(usize, usize) -> f32,
    weight: &[S; R],
    y: &mut [[S; R]],
) {
    for (feature, y) in y.iter_mut().enumerate() {
        let mut values = [S::splat(0.0); R];
        for (row, value) in floats_mut(&mut values).iter_mut().enumerate() {
            *value = of_row(row, feature);
        }
        for r in 0..R {
            y[r] = values[r].mul_add(weight[r], y[r]);
        }
    }
}
