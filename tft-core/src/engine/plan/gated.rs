//! Gated residual networks (Lim et al. 2021, §4.1), compiled.
//!
//! Between the second layer and the gate there is nothing that is not linear, so both are one matrix:
//! `W_g·(W_2·h + b_2) + b_g = (W_g·W_2)·h + (W_g·b_2 + b_g)`.

use super::affine::{Affine, vector};
use crate::engine::kernels::linear::{PackedGate, PackedLinear};
use crate::engine::kernels::norm::Norm;
use crate::model::interpolation::interpolation;
use crate::model::weights::Weights;

/// A gated residual network of equal widths: `LN(GLU(W·ELU(fc1·x + context)) + x)`.
#[derive(Debug)]
pub(in crate::engine) struct GatedPlan {
    pub(in crate::engine) first: PackedLinear,
    pub(in crate::engine) context: Option<PackedLinear>,
    pub(in crate::engine) gate: PackedGate,
    pub(in crate::engine) norm: Norm,
}

/// A gate and a normalised skip connection.
#[derive(Debug)]
pub(in crate::engine) struct GateNormPlan {
    pub(in crate::engine) gate: PackedGate,
    pub(in crate::engine) norm: Norm,
}

/// Parts of a compiled network that are still matrices.
pub(super) struct GatedParts {
    pub(super) first: Affine,
    pub(super) gate: Affine,
    pub(super) norm: Norm,
}

/// Interpolation to another width and its trained mask, and the norm that follows.
pub(super) struct Resample {
    pub(super) map: Affine,
    pub(super) norm: Norm,
}

impl GatedPlan {
    pub(super) fn of(weights: &Weights, name: &str, epsilon: f32) -> Self {
        let parts = GatedParts::of(weights, name, epsilon);
        let context = format!("{name}.context");
        let has_context = weights.has(&format!("{context}.weight"));
        Self {
            first: packed(&parts.first),
            context: has_context.then(|| packed(&Affine::of(weights, &context))),
            gate: packed_gate(&parts.gate),
            norm: parts.norm,
        }
    }
}

impl GateNormPlan {
    /// A gate whose input is first mapped by `before`, if anything.
    pub(super) fn of(
        weights: &Weights,
        gate: &str,
        norm: &str,
        before: Option<&Affine>,
        epsilon: f32,
    ) -> Self {
        let gate = Affine::of(weights, gate);
        let gate = before.map_or_else(|| gate.clone(), |before| before.then(&gate));
        Self { gate: packed_gate(&gate), norm: norm_of(weights, norm, epsilon) }
    }
}

impl GatedParts {
    pub(super) fn of(weights: &Weights, name: &str, epsilon: f32) -> Self {
        let second = Affine::of(weights, &format!("{name}.fc2"));
        Self {
            first: Affine::of(weights, &format!("{name}.fc1")),
            gate: second.then(&Affine::of(weights, &format!("{name}.gate_norm.glu.fc"))),
            norm: norm_of(weights, &format!("{name}.gate_norm.add_norm.norm"), epsilon),
        }
    }
}

impl Resample {
    /// Reads `<name>.mask` and `<name>.norm`; interpolates from `inputs` features.
    pub(super) fn of(weights: &Weights, name: &str, inputs: usize, epsilon: f32) -> Self {
        let mask = vector(weights, &format!("{name}.mask"));
        let outputs = mask.len();
        let matrix = if inputs == outputs { None } else { Some(interpolation(inputs, outputs)) };
        let share = |input: usize, output: usize| match &matrix {
            Some(matrix) => f64::from(matrix[input * outputs + output]),
            None => f64::from(u8::from(input == output)),
        };
        let mut weight = Vec::with_capacity(outputs * inputs);
        for (output, mask) in mask.iter().enumerate() {
            let scale = 2.0 / (1.0 + (-mask).exp());
            weight.extend((0..inputs).map(|input| share(input, output) * scale));
        }
        let map = Affine { weight, bias: vec![0.0; outputs], inputs };
        Self { map, norm: norm_of(weights, &format!("{name}.norm"), epsilon) }
    }
}

pub(super) fn packed(affine: &Affine) -> PackedLinear {
    PackedLinear::new(&affine.weight, &affine.bias, affine.inputs)
}

pub(super) fn packed_gate(affine: &Affine) -> PackedGate {
    PackedGate::new(&affine.weight, &affine.bias, affine.inputs)
}

pub(super) fn norm_of(weights: &Weights, name: &str, epsilon: f32) -> Norm {
    Norm {
        gamma: weights.tensor(&format!("{name}.weight")).values.clone(),
        beta: weights.tensor(&format!("{name}.bias")).values.clone(),
        epsilon,
    }
}
