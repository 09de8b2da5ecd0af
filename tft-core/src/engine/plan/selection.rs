//! Variable selection networks (Lim et al. 2021, §4.2), compiled.
//!
//! A real variable enters as one scalar `x` through `e = p·x + q`, so every affine map of `e` that follows is an
//! affine map of `x`: the first layer of its network, its interpolated skip connection, and its part of the
//! network that weighs the variables. A categorical has few classes: what its network makes of each is a table.

use super::affine::Affine;
use super::gated::{GatedParts, Resample, packed, packed_gate};
use crate::engine::kernels::linear::{PackedGate, PackedLinear};
use crate::engine::kernels::norm::Norm;
use crate::model::architecture::{Architecture, SelectionVariables};
use crate::model::weights::Weights;

/// A compiled selection network.
#[derive(Debug)]
pub(in crate::engine) struct SelectionPlan {
    pub(in crate::engine) categoricals: Vec<CategoricalPlan>,
    pub(in crate::engine) reals: Vec<RealPlan>,
    /// The column of each real among the real inputs.
    pub(in crate::engine) columns: Vec<usize>,
    /// Absent for fewer than two variables.
    pub(in crate::engine) weighing: Option<WeighingPlan>,
}

/// A real variable: everything is an affine map of its scalar.
#[derive(Debug)]
pub(in crate::engine) struct RealPlan {
    /// Slope and intercept of each hidden unit, before the activation.
    pub(in crate::engine) hidden: Vec<[f32; 2]>,
    pub(in crate::engine) gate: PackedGate,
    /// Slope and intercept of each feature of the skip connection.
    pub(in crate::engine) skip: Vec<[f32; 2]>,
    pub(in crate::engine) skip_norm: Option<Norm>,
    pub(in crate::engine) norm: Norm,
}

/// A categorical variable.
#[derive(Debug)]
pub(in crate::engine) struct CategoricalPlan {
    /// Columns of the categorical inputs: one, or those of a group, whose embeddings are added.
    pub(in crate::engine) columns: Vec<usize>,
    /// The embedding of each class.
    embedding: Vec<Vec<f64>>,
    network: CategoricalNetwork,
    /// For a single column what the network makes of each class, `[class][H]`.
    pub(in crate::engine) table: Vec<f32>,
}

#[derive(Debug)]
enum CategoricalNetwork {
    Resample(Scalar),
    Gated { first: Affine, gate: Affine, skip: Option<Scalar>, norm: Norm },
}

/// An affine map and a norm, run one row at a time.
#[derive(Debug)]
struct Scalar {
    map: Affine,
    norm: Norm,
}

/// The network that weighs the variables.
#[derive(Debug)]
pub(in crate::engine) struct WeighingPlan {
    /// From the scalars of the reals to the hidden layer and, below it, the skip connection.
    pub(in crate::engine) first: PackedLinear,
    pub(in crate::engine) hidden: usize,
    /// What each categorical column's classes add to both, `[class][hidden + variables]`.
    pub(in crate::engine) tables: Vec<(usize, Vec<f32>)>,
    pub(in crate::engine) context: Option<PackedLinear>,
    pub(in crate::engine) gate: PackedGate,
    pub(in crate::engine) skip_norm: Option<Norm>,
    pub(in crate::engine) norm: Norm,
}

impl SelectionPlan {
    pub(super) fn of(architecture: &Architecture, weights: &Weights, variables: &SelectionVariables) -> Self {
        let epsilon = architecture.layer_norm_eps as f32;
        let categorical = |name: &String| CategoricalPlan::of(architecture, weights, variables, name);
        let real = |name: &String| {
            RealPlan::of(weights, &variables.single_network(name), &prescaler(weights, name), epsilon)
        };
        let column = |name: &String| position(&architecture.x_reals, name);
        Self {
            categoricals: variables.categoricals.iter().map(categorical).collect(),
            reals: variables.reals.iter().map(real).collect(),
            columns: variables.reals.iter().map(column).collect(),
            weighing: (variables.count() > 1).then(|| WeighingPlan::of(architecture, weights, variables)),
        }
    }

    /// Returns the widest layer that a row passes.
    pub(in crate::engine) fn widest(&self) -> usize {
        let weighing = self.weighing.as_ref().map_or(0, |weighing| weighing.first.outputs);
        let reals = self.reals.iter().map(|real| real.hidden.len().max(real.skip.len()));
        reals.max().unwrap_or(0).max(weighing)
    }

    pub(in crate::engine) fn count(&self) -> usize {
        self.categoricals.len() + self.reals.len()
    }
}

impl RealPlan {
    fn of(weights: &Weights, name: &str, prescaler: &Affine, epsilon: f32) -> Self {
        let parts = GatedParts::of(weights, name, epsilon);
        let (width, hidden) = (prescaler.outputs(), parts.norm.gamma.len());
        let resample = (width != hidden)
            .then(|| Resample::of(weights, &format!("{name}.resample_norm"), width, epsilon));
        let skip = resample.as_ref().map_or(prescaler.clone(), |resample| prescaler.then(&resample.map));
        Self {
            hidden: lines(&prescaler.then(&parts.first)),
            gate: packed_gate(&parts.gate),
            skip: lines(&skip),
            skip_norm: resample.map(|resample| resample.norm),
            norm: parts.norm,
        }
    }
}

impl CategoricalPlan {
    fn of(
        architecture: &Architecture,
        weights: &Weights,
        variables: &SelectionVariables,
        name: &String,
    ) -> Self {
        let epsilon = architecture.layer_norm_eps as f32;
        let tensor = weights.tensor(&format!("input_embeddings.embeddings.{name}.weight"));
        let width = tensor.shape[1];
        let to_row = |row: &[f32]| row.iter().map(|&value| f64::from(value)).collect();
        let embedding: Vec<Vec<f64>> = tensor.values.chunks_exact(width).map(to_row).collect();
        let network = CategoricalNetwork::of(weights, &variables.single_network(name), width, epsilon);
        let columns = architecture.columns(name).iter();
        let columns: Vec<usize> =
            columns.map(|column| position(&architecture.x_categoricals, column)).collect();
        let mut plan = Self { columns, embedding, network, table: Vec::new() };
        if plan.columns.len() == 1 {
            let classes = 0..plan.embedding.len() as u32;
            plan.table = classes.flat_map(|class| plan.of_codes(&[class])).collect();
        }
        plan
    }

    /// What the network makes of the sum of some classes' embeddings, `[H]`.
    pub(in crate::engine) fn of_codes(&self, codes: &[u32]) -> Vec<f32> {
        let mut sum = vec![0.0; self.embedding[0].len()];
        for &code in codes {
            sum.iter_mut().zip(&self.embedding[code as usize]).for_each(|(sum, value)| *sum += value);
        }
        self.network.apply(&sum).into_iter().map(|value| value as f32).collect()
    }
}

impl CategoricalNetwork {
    fn of(weights: &Weights, name: &str, width: usize, epsilon: f32) -> Self {
        let scalar = |name: &str| {
            let resample = Resample::of(weights, name, width, epsilon);
            Scalar { map: resample.map, norm: resample.norm }
        };
        if !weights.has(&format!("{name}.fc1.weight")) {
            return Self::Resample(scalar(name));
        }
        let parts = GatedParts::of(weights, name, epsilon);
        let skip = (width != parts.norm.gamma.len()).then(|| scalar(&format!("{name}.resample_norm")));
        Self::Gated { first: parts.first, gate: parts.gate, skip, norm: parts.norm }
    }

    fn apply(&self, x: &[f64]) -> Vec<f64> {
        match self {
            Self::Resample(resample) => resample.apply(x),
            Self::Gated { first, gate, skip, norm } => {
                let hidden: Vec<f64> =
                    first.apply(x).into_iter().map(|z| if z > 0.0 { z } else { z.exp_m1() }).collect();
                let gated = gate.apply(&hidden);
                let skip = skip.as_ref().map_or_else(|| x.to_vec(), |skip| skip.apply(x));
                let (values, openings) = gated.split_at(gated.len() / 2);
                let unit =
                    |((value, opening), skip): ((&f64, &f64), f64)| value / (1.0 + (-opening).exp()) + skip;
                normal(norm, &values.iter().zip(openings).zip(skip).map(unit).collect::<Vec<_>>())
            }
        }
    }
}

impl Scalar {
    fn apply(&self, x: &[f64]) -> Vec<f64> {
        normal(&self.norm, &self.map.apply(x))
    }
}

impl WeighingPlan {
    fn of(architecture: &Architecture, weights: &Weights, variables: &SelectionVariables) -> Self {
        let epsilon = architecture.layer_norm_eps as f32;
        let name = format!("{}.flattened_grn", variables.network);
        let parts = GatedParts::of(weights, &name, epsilon);
        let (inputs, hidden) = (parts.first.inputs, parts.first.outputs());
        let resample = (inputs != variables.count())
            .then(|| Resample::of(weights, &format!("{name}.resample_norm"), inputs, epsilon));
        let skip = resample.as_ref().map_or_else(|| identity(inputs), |resample| resample.map.clone());
        let whole = parts.first.above(&skip);
        let mut plan = Self {
            first: packed(&whole),
            hidden,
            tables: Vec::new(),
            context: None,
            gate: packed_gate(&parts.gate),
            skip_norm: resample.map(|resample| resample.norm),
            norm: parts.norm,
        };
        plan.fold(architecture, weights, variables, &whole);
        let context = format!("{name}.context");
        plan.context =
            weights.has(&format!("{context}.weight")).then(|| packed(&Affine::of(weights, &context)));
        plan
    }

    /// Replaces the embeddings and expanded reals that the network reads by class tables and scalars.
    fn fold(
        &mut self,
        architecture: &Architecture,
        weights: &Weights,
        variables: &SelectionVariables,
        whole: &Affine,
    ) {
        let mut start = 0;
        for name in &variables.categoricals {
            let (classes, width) = architecture.embedding(name);
            let part = whole.of_inputs(start..start + width);
            let embedding = weights.tensor(&format!("input_embeddings.embeddings.{name}.weight"));
            let row = |class: usize| {
                let row = embedding.values[class * width..(class + 1) * width].iter();
                part.apply(&row.map(|&value| f64::from(value)).collect::<Vec<_>>())
            };
            let table: Vec<f32> = (0..classes).flat_map(row).map(|value| value as f32).collect();
            for column in architecture.columns(name) {
                self.tables.push((position(&architecture.x_categoricals, column), table.clone()));
            }
            start += width;
        }
        let mut bias = whole.bias.clone();
        let mut by_variable = Vec::new();
        for name in &variables.reals {
            let prescaler = prescaler(weights, name);
            let width = prescaler.outputs();
            let folded = prescaler.then(&whole.of_inputs(start..start + width));
            bias.iter_mut().zip(&folded.bias).for_each(|(bias, part)| *bias += part);
            by_variable.push(folded.weight);
            start += width;
        }
        let row = |output: usize| by_variable.iter().map(move |column| column[output]);
        let weight: Vec<f64> = (0..bias.len()).flat_map(row).collect();
        self.first = PackedLinear::new(&weight, &bias, by_variable.len());
    }
}

/// The map from a real's scalar to its expansion.
fn prescaler(weights: &Weights, name: &str) -> Affine {
    Affine::of(weights, &format!("prescalers.{name}"))
}

/// Slope and intercept of each output of a map of one scalar.
fn lines(affine: &Affine) -> Vec<[f32; 2]> {
    affine.weight.iter().zip(&affine.bias).map(|(&slope, &bias)| [slope as f32, bias as f32]).collect()
}

fn identity(width: usize) -> Affine {
    let weight = (0..width * width).map(|i| f64::from(u8::from(i % (width + 1) == 0))).collect();
    Affine { weight, bias: vec![0.0; width], inputs: width }
}

fn normal(norm: &Norm, x: &[f64]) -> Vec<f64> {
    let count = x.len() as f64;
    let mean = x.iter().sum::<f64>() / count;
    let variance = x.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    // Infinite where it is so in single precision: what overflows there becomes the shift alone, here as well.
    let variance = f64::from(variance as f32);
    let inverse = 1.0 / (variance + f64::from(norm.epsilon)).sqrt();
    let scaled = norm.gamma.iter().zip(&norm.beta).zip(x);
    scaled
        .map(|((&gamma, &beta), value)| (value - mean) * inverse * f64::from(gamma) + f64::from(beta))
        .collect()
}

fn position(names: &[String], name: &str) -> usize {
    names.iter().position(|other| other == name).expect("invariant: the architecture was validated")
}
