//! LSTM layers (Lim et al. 2021, §4.5.1), compiled.
//!
//! Input and hidden state are one vector `[x; h]` of 2·H numbers and both matrices one matrix; the two biases
//! are added. Units lie in the lanes: for each element of `[x; h]` the weights of a lane's four gates follow one
//! another.

use super::affine::{Affine, vector};
use crate::model::weights::Weights;

/// One compiled layer.
#[derive(Debug)]
pub(in crate::engine) struct LstmPlan {
    pub(in crate::engine) width: usize,
    /// `[unit block][input, then hidden state][gate i, f, g, o][lane]`
    pub(in crate::engine) weights: Vec<f32>,
    /// `[unit block][gate][lane]`
    pub(in crate::engine) bias: Vec<f32>,
    /// Units in a block.
    pub(in crate::engine) lanes: usize,
}

impl LstmPlan {
    /// Units of a block, whatever the instruction set: a multiple of every vector's lanes.
    pub(in crate::engine) const LANES: usize = 16;

    pub(super) fn layers(weights: &Weights, name: &str, count: usize) -> Vec<Self> {
        (0..count).map(|layer| Self::of(weights, name, layer)).collect()
    }

    fn of(weights: &Weights, name: &str, layer: usize) -> Self {
        let matrix = |part: &str| {
            let tensor = weights.tensor(&format!("{name}.weight_{part}_l{layer}"));
            let weight = tensor.values.iter().map(|&value| f64::from(value)).collect();
            Affine { weight, bias: vec![0.0; tensor.shape[0]], inputs: tensor.shape[1] }
        };
        let biases = ["ih", "hh"].map(|part| vector(weights, &format!("{name}.bias_{part}_l{layer}")));
        let (input, hidden) = (matrix("ih"), matrix("hh"));
        let (width, lanes) = (hidden.inputs, Self::LANES);
        let mut plan = Self { width, weights: Vec::new(), bias: Vec::new(), lanes };
        for block in 0..width.div_ceil(lanes) {
            let unit = |lane: usize| (block * lanes + lane < width).then_some(block * lanes + lane);
            for of in [&input, &hidden] {
                for k in 0..of.inputs {
                    plan.each_gate(unit, width, |row| of.row(row)[k]);
                }
            }
            let mut bias = Self { width, weights: Vec::new(), bias: Vec::new(), lanes };
            bias.each_gate(unit, width, |row| biases[0][row] + biases[1][row]);
            plan.bias.append(&mut bias.weights);
        }
        plan
    }

    /// Appends one number per gate and lane, 0 for lanes without a unit.
    fn each_gate(
        &mut self,
        unit: impl Fn(usize) -> Option<usize>,
        width: usize,
        value: impl Fn(usize) -> f64,
    ) {
        for gate in 0..4 {
            let of_lane = |lane: usize| unit(lane).map_or(0.0, |unit| value(gate * width + unit) as f32);
            self.weights.extend((0..self.lanes).map(of_lane));
        }
    }
}
