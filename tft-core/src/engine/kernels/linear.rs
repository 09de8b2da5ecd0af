//! Affine maps and gated linear units of many rows at a time.
//!
//! Rows lie in the lanes: a group holds `R` vectors of rows for each feature, so a weight is read once for all of
//! them and everything that follows, such as a norm over features, needs no operation across lanes.

use super::activation::sigmoid;
use crate::engine::simd::Simd;

/// Outputs that are computed together: with R = 4, sixteen sums stay in registers.
pub(crate) const OUTPUTS: usize = 4;

/// The weights of `y = W·x + b`, packed in blocks of [`OUTPUTS`] outputs: for each input the weights of the
/// block side by side.
#[derive(Debug, Clone)]
pub(crate) struct PackedLinear {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    blocks: Vec<[f32; OUTPUTS]>,
    bias: Vec<[f32; OUTPUTS]>,
}

/// A linear layer whose second half of outputs gates the first (Lim et al. 2021, eq. 5).
#[derive(Debug, Clone)]
pub(crate) struct PackedGate {
    pub(crate) outputs: usize,
    linear: PackedLinear,
}

impl PackedLinear {
    /// Packs `weight` `[outputs][inputs]` and `bias` `[outputs]`.
    pub(crate) fn new(weight: &[f64], bias: &[f64], inputs: usize) -> Self {
        let outputs = bias.len();
        let count = outputs.div_ceil(OUTPUTS);
        let at = |output: usize, input: usize| {
            if output < outputs { weight[output * inputs + input] as f32 } else { 0.0 }
        };
        let mut blocks = Vec::with_capacity(count * inputs);
        for block in 0..count {
            let first = block * OUTPUTS;
            blocks.extend((0..inputs).map(|input| std::array::from_fn(|o| at(first + o, input))));
        }
        let padded = |output: usize| bias.get(output).map_or(0.0, |&bias| bias as f32);
        let bias = (0..count).map(|block| std::array::from_fn(|o| padded(block * OUTPUTS + o))).collect();
        Self { inputs, outputs, blocks, bias }
    }

    /// Writes `W·x + b` of a group of rows.
    #[inline(always)]
    pub(crate) fn apply<S: Simd, const R: usize>(&self, x: &[[S; R]], y: &mut [[S; R]]) {
        let blocks = self.blocks.chunks_exact(self.inputs.max(1));
        for ((out, weights), bias) in y[..self.outputs].chunks_mut(OUTPUTS).zip(blocks).zip(&self.bias) {
            let sums = block_sums::<S, R>(weights, bias, x);
            for (out, sum) in out.iter_mut().zip(sums) {
                *out = sum;
            }
        }
        if self.inputs == 0 {
            let biases = self.bias.iter().flatten();
            y[..self.outputs].iter_mut().zip(biases).for_each(|(out, &bias)| *out = [S::splat(bias); R]);
        }
    }
}

impl PackedGate {
    /// Packs a layer of `2·outputs` outputs: pairs of a value and its gate side by side.
    pub(crate) fn new(weight: &[f64], bias: &[f64], inputs: usize) -> Self {
        let outputs = bias.len() / 2;
        let order: Vec<usize> = (0..outputs).flat_map(|output| [output, outputs + output]).collect();
        let rows = order.iter().flat_map(|&row| &weight[row * inputs..(row + 1) * inputs]);
        let weight: Vec<f64> = rows.copied().collect();
        let bias: Vec<f64> = order.iter().map(|&row| bias[row]).collect();
        Self { outputs, linear: PackedLinear::new(&weight, &bias, inputs) }
    }

    /// Writes `value(x)·σ(gate(x)) + skip` of a group of rows.
    #[inline(always)]
    pub(crate) fn apply<S: Simd, const R: usize>(&self, x: &[[S; R]], skip: &[[S; R]], y: &mut [[S; R]]) {
        let blocks = self.linear.blocks.chunks_exact(self.linear.inputs);
        let pairs = y[..self.outputs].chunks_mut(OUTPUTS / 2).zip(skip.chunks(OUTPUTS / 2));
        for (((out, skip), weights), bias) in pairs.zip(blocks).zip(&self.linear.bias) {
            let sums = block_sums::<S, R>(weights, bias, x);
            for (pair, (out, skip)) in out.iter_mut().zip(skip).enumerate() {
                for r in 0..R {
                    out[r] = sums[2 * pair][r].mul_add(sigmoid(sums[2 * pair + 1][r]), skip[r]);
                }
            }
        }
    }
}

/// The sums of one block, kept in registers.
#[inline(always)]
fn block_sums<S: Simd, const R: usize>(
    weights: &[[f32; OUTPUTS]],
    bias: &[f32; OUTPUTS],
    x: &[[S; R]],
) -> [[S; R]; OUTPUTS] {
    let mut sums = [[S::splat(0.0); R]; OUTPUTS];
    for o in 0..OUTPUTS {
        sums[o] = [S::splat(bias[o]); R];
    }
    for (weights, x) in weights.iter().zip(x) {
        for o in 0..OUTPUTS {
            let weight = S::splat(weights[o]);
            for r in 0..R {
                sums[o][r] = weight.mul_add(x[r], sums[o][r]);
            }
        }
    }
    sums
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::engine::kernels::near::{
        GroupKernel, Near, Numbers, ROWS, WIDTHS, assert_twins, double, from_lanes, into_lanes, near,
    };

    /// A layer as it is written: `[outputs][inputs]`, and a bias.
    pub(in crate::engine::kernels) struct Layer {
        pub(in crate::engine::kernels) weight: Vec<Vec<f32>>,
        pub(in crate::engine::kernels) bias: Vec<f32>,
    }

    impl Layer {
        pub(in crate::engine::kernels) fn random(
            inputs: usize,
            outputs: usize,
            numbers: &mut Numbers,
        ) -> Self {
            let spread = 1.5 / (inputs.max(1) as f32).sqrt();
            Self { weight: numbers.rows(outputs, inputs, spread), bias: numbers.take(outputs, 0.5) }
        }

        pub(in crate::engine::kernels) fn packed(&self) -> PackedLinear {
            PackedLinear::new(&double(&self.weight.concat()), &double(&self.bias), self.weight[0].len())
        }

        pub(in crate::engine::kernels) fn packed_gate(&self) -> PackedGate {
            PackedGate::new(&double(&self.weight.concat()), &double(&self.bias), self.weight[0].len())
        }

        /// The twin of [`PackedLinear::apply`]: `W·x + b`.
        pub(in crate::engine::kernels) fn apply(&self, x: &[Near]) -> Vec<Near> {
            let output = |(row, &bias): (&Vec<f32>, &f32)| {
                let products = row.iter().zip(x).map(|(&weight, &x)| Near::from(weight) * x);
                Near::sum(products.chain([bias.into()]))
            };
            self.weight.iter().zip(&self.bias).map(output).collect()
        }

        /// The twin of [`PackedGate::apply`]: eq. 5, the first half of the outputs times the logistic of the
        /// second, and a skip connection.
        pub(in crate::engine::kernels) fn gate(&self, x: &[Near], skip: &[Near]) -> Vec<Near> {
            let outputs = self.apply(x);
            let (values, gates) = outputs.split_at(outputs.len() / 2);
            let unit = |((&value, gate), &skip): ((&Near, &Near), &Near)| value * gate.sigmoid() + skip;
            values.iter().zip(gates).zip(skip).map(unit).collect()
        }
    }

    impl GroupKernel for PackedLinear {
        #[inline(always)]
        fn run<S: Simd, const R: usize>(&self, rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
            // What lies behind the outputs must stay.
            let mut y = vec![[S::splat(7.0); R]; self.outputs + 1];
            self.apply(&into_lanes::<S, R>(rows), &mut y);
            let mut rows = from_lanes(&y);
            assert!(rows.iter_mut().all(|row| row.pop() == Some(7.0)));
            rows
        }
    }

    /// A row is the input and then the skip connection.
    impl GroupKernel for PackedGate {
        #[inline(always)]
        fn run<S: Simd, const R: usize>(&self, rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
            let x = into_lanes::<S, R>(rows);
            let (x, skip) = x.split_at(self.linear.inputs);
            let mut y = vec![[S::splat(7.0); R]; self.outputs];
            self.apply(x, skip, &mut y);
            from_lanes(&y)
        }
    }

    #[test]
    fn a_linear_layer_is_its_formula() {
        let mut numbers = Numbers(1);
        for &inputs in WIDTHS.iter().chain(&[0]) {
            for &outputs in WIDTHS {
                let layer = Layer::random(inputs, outputs, &mut numbers);
                let rows = numbers.rows(ROWS, inputs, 2.0);
                let name = format!("{inputs} to {outputs}");
                assert_twins(&name, &layer.packed(), &rows, |row| layer.apply(&near(row)));
            }
        }
    }

    #[test]
    fn a_gate_is_its_formula() {
        let mut numbers = Numbers(2);
        for &inputs in WIDTHS {
            for &outputs in WIDTHS {
                let layer = Layer::random(inputs, 2 * outputs, &mut numbers);
                let rows = numbers.rows(ROWS, inputs + outputs, 2.0);
                let name = format!("{inputs} to {outputs}");
                assert_twins(&name, &layer.packed_gate(), &rows, |row| {
                    layer.gate(&near(&row[..inputs]), &near(&row[inputs..]))
                });
            }
        }
    }
}
