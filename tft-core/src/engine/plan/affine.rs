//! Affine maps in double precision, and what the compiler does with them: compose, stack, pack.

use crate::model::weights::Weights;

/// `y = W·x + b`.
#[derive(Debug, Clone)]
pub(super) struct Affine {
    /// `[outputs][inputs]`, row by row.
    pub(super) weight: Vec<f64>,
    pub(super) bias: Vec<f64>,
    pub(super) inputs: usize,
}

impl Affine {
    /// Reads `<name>.weight` and, where there is one, `<name>.bias`.
    pub(super) fn of(weights: &Weights, name: &str) -> Self {
        let weight = weights.tensor(&format!("{name}.weight"));
        let (outputs, inputs) = (weight.shape[0], weight.shape[1]);
        let bias = format!("{name}.bias");
        let bias = if weights.has(&bias) { vector(weights, &bias) } else { vec![0.0; outputs] };
        Self { weight: to_double(&weight.values), bias, inputs }
    }

    pub(super) fn outputs(&self) -> usize {
        self.bias.len()
    }

    pub(super) fn row(&self, output: usize) -> &[f64] {
        &self.weight[output * self.inputs..(output + 1) * self.inputs]
    }

    /// Returns the map that applies this one first and `next` to its result.
    pub(super) fn then(&self, next: &Self) -> Self {
        let mut weight = Vec::with_capacity(next.outputs() * self.inputs);
        for output in 0..next.outputs() {
            let row = next.row(output);
            let of_input = |input: usize| -> f64 {
                row.iter().enumerate().map(|(k, w)| w * self.weight[k * self.inputs + input]).sum()
            };
            weight.extend((0..self.inputs).map(of_input));
        }
        Self { weight, bias: next.apply(&self.bias), inputs: self.inputs }
    }

    /// Returns the map of some of the inputs only.
    pub(super) fn of_inputs(&self, range: std::ops::Range<usize>) -> Self {
        let rows = (0..self.outputs()).flat_map(|output| self.row(output)[range.clone()].iter().copied());
        Self { weight: rows.collect(), bias: vec![0.0; self.outputs()], inputs: range.len() }
    }

    /// Returns the map whose outputs are those of this one and then those of `other`, of the same inputs.
    pub(super) fn above(mut self, other: &Self) -> Self {
        self.weight.extend(&other.weight);
        self.bias.extend(&other.bias);
        self
    }

    pub(super) fn apply(&self, x: &[f64]) -> Vec<f64> {
        let output = |output: usize| {
            self.bias[output] + self.row(output).iter().zip(x).map(|(w, x)| w * x).sum::<f64>()
        };
        (0..self.outputs()).map(output).collect()
    }
}

/// Reads a tensor's values.
pub(super) fn vector(weights: &Weights, name: &str) -> Vec<f64> {
    to_double(&weights.tensor(name).values)
}

fn to_double(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| f64::from(value)).collect()
}
