//! Variable selection of a group of rows: weights first, then each variable's network, added up as it comes.

use std::ops::Range;

use super::activation::elu;
use super::norm::softmax;
use super::residual::activate;
use crate::engine::plan::{RealPlan, SelectionPlan, WeighingPlan};
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

/// Vectors to work with.
pub(crate) struct SelectionScratch<'a, S, const R: usize> {
    pub(crate) hidden: &'a mut [[S; R]],
    pub(crate) skip: &'a mut [[S; R]],
    pub(crate) unit: &'a mut [[S; R]],
}

impl SelectionPlan {
    /// Writes the mixture of the variables and their weights.
    ///
    /// `known` answers with what [`RealPlan::apply`] makes of a real variable, where that is at hand.
    #[inline(always)]
    pub(crate) fn apply<'k, S: Simd, const R: usize>(
        &self,
        input: &SelectionInput<'_, S, R>,
        scratch: &mut SelectionScratch<'_, S, R>,
        known: impl Fn(usize) -> Option<&'k [[S; R]]>,
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
        let weights = &weights[self.categoricals.len()..];
        let mut next = 0;
        while next < self.reals.len() {
            let first = next;
            while next < self.reals.len() && known(next).is_some() {
                next += 1;
            }
            if next > first {
                add_known(first..next, &known, weights, y);
                continue;
            }
            let outputs = self.reals[next].apply(&input.reals[next], scratch);
            add_known(0..1, &|_| Some(outputs), &weights[next..], y);
            next += 1;
        }
    }
}

/// Adds the outputs of some variables, each multiplied by its weight, in their order; sums stay in registers.
#[inline(always)]
fn add_known<'k, S: Simd, const R: usize>(
    variables: Range<usize>,
    known: &impl Fn(usize) -> Option<&'k [[S; R]]>,
    weights: &[[S; R]],
    y: &mut [[S; R]],
) {
    /// Features that are added up together: with R = 4, sixteen sums stay in registers.
    const FEATURES: usize = 4;
    let all = y.len();
    let (blocks, rest) = y.as_chunks_mut::<FEATURES>();
    for (block, y) in blocks.iter_mut().enumerate() {
        let mut sums = *y;
        for variable in variables.clone() {
            let Some(outputs) = known(variable) else { continue };
            let (Some(outputs), weight) = (outputs.as_chunks::<FEATURES>().0.get(block), weights[variable])
            else {
                continue;
            };
            for f in 0..FEATURES {
                for r in 0..R {
                    sums[f][r] = outputs[f][r].mul_add(weight[r], sums[f][r]);
                }
            }
        }
        *y = sums;
    }
    let first = all - rest.len();
    for (feature, y) in rest.iter_mut().enumerate() {
        for variable in variables.clone() {
            let Some(outputs) = known(variable) else { continue };
            for r in 0..R {
                y[r] = outputs[first + feature][r].mul_add(weights[variable][r], y[r]);
            }
        }
    }
}

impl RealPlan {
    /// Computes the variable's network of one scalar per row, `[H]`, in the scratch.
    #[inline(always)]
    pub(crate) fn apply<'s, S: Simd, const R: usize>(
        &self,
        x: &[S; R],
        scratch: &'s mut SelectionScratch<'_, S, R>,
    ) -> &'s [[S; R]] {
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
        self.norm.apply(unit);
        unit
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernels::linear::PackedGate;
    use crate::engine::kernels::near::{
        GroupKernel, Near, Numbers, ROWS, WIDTHS, assert_twins, from_lanes, into_lanes, near,
    };
    use crate::engine::kernels::norm::Norm;

    /// A row is the outputs of some variables, one after the other, and then their weights.
    struct AddKnown {
        features: usize,
        variables: usize,
    }

    impl GroupKernel for AddKnown {
        #[inline(always)]
        fn run<S: Simd, const R: usize>(&self, rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
            let all = into_lanes::<S, R>(rows);
            let (outputs, weights) = all.split_at(self.features * self.variables);
            let of = |variable: usize| Some(&outputs[variable * self.features..][..self.features]);
            let mut y = vec![[S::splat(0.0); R]; self.features];
            add_known(0..self.variables, &of, weights, &mut y);
            from_lanes(&y)
        }
    }

    /// A row is a scalar.
    struct OneReal<'a>(&'a RealPlan);

    impl GroupKernel for OneReal<'_> {
        #[inline(always)]
        fn run<S: Simd, const R: usize>(&self, rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
            let x = into_lanes::<S, R>(rows);
            let width = self.0.hidden.len().max(self.0.skip.len());
            let mut parts = [(); 3].map(|()| vec![[S::splat(0.0); R]; width]);
            let [hidden, skip, unit] = &mut parts;
            from_lanes(self.0.apply(&x[0], &mut SelectionScratch { hidden, skip, unit }))
        }
    }

    #[test]
    fn known_outputs_are_added_up_by_their_weights() {
        let mut numbers = Numbers(31);
        for &features in WIDTHS {
            for variables in [1, 2, 7] {
                let rows = numbers.rows(ROWS, (features + 1) * variables, 1.0);
                let name = format!("{features} features of {variables} variables");
                assert_twins(&name, &AddKnown { features, variables }, &rows, |row| {
                    let (outputs, weights) = row.split_at(features * variables);
                    let product = |feature: usize, variable: usize| {
                        Near::from(outputs[variable * features + feature]) * weights[variable].into()
                    };
                    let sum = |feature| Near::sum((0..variables).map(|variable| product(feature, variable)));
                    (0..features).map(sum).collect()
                });
            }
        }
    }

    /// The twin of [`RealPlan::apply`]: eq. 2-5 with what is affine in the scalar written as that.
    #[test]
    fn a_real_variables_network_is_its_formula() {
        let mut numbers = Numbers(32);
        for &width in WIDTHS {
            for has_norm in [false, true] {
                let mut lines = |count| -> Vec<[f32; 2]> {
                    numbers.rows(count, 2, 1.0).into_iter().map(|line| [line[0], line[1]]).collect()
                };
                let (hidden, skip) = (lines(width + 1), lines(width));
                let weight = numbers.take(2 * width * (width + 1), 0.5);
                let bias = numbers.take(2 * width, 0.5);
                let exact = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect::<Vec<_>>();
                let real = RealPlan {
                    hidden,
                    gate: PackedGate::new(&exact(&weight), &exact(&bias), width + 1),
                    skip,
                    skip_norm: has_norm.then(|| Norm::random(width, &mut numbers)),
                    norm: Norm::random(width, &mut numbers),
                };
                let rows = numbers.rows(ROWS, 1, 2.0);
                assert_twins(&format!("width {width}"), &OneReal(&real), &rows, |row| {
                    let line = |&[slope, bias]: &[f32; 2]| near(row)[0] * slope.into() + bias.into();
                    let hidden: Vec<Near> = real.hidden.iter().map(|of| line(of).elu()).collect();
                    let skip: Vec<Near> = real.skip.iter().map(line).collect();
                    let skip = real.skip_norm.as_ref().map_or(skip.clone(), |norm| norm.of_row(&skip));
                    let gated = |output: usize| {
                        let weights = weight[output * (width + 1)..].iter().take(width + 1);
                        let products =
                            hidden.iter().zip(weights).map(|(&hidden, &weight)| hidden * weight.into());
                        Near::sum(products.chain([bias[output].into()]))
                    };
                    let unit = |output: usize| gated(output) * gated(width + output).sigmoid() + skip[output];
                    real.norm.of_row(&(0..width).map(unit).collect::<Vec<_>>())
                });
            }
        }
    }
}
