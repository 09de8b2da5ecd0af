//! The layers that several parts of the network are made of.

use burn::module::Param;
use burn::tensor::{Tensor, TensorData};

use super::Loader;
use crate::model::interpolation::interpolation;
use crate::model::network::gated_residual::{
    StackedGateNorm, StackedGatedResidual, StackedLayerNorm, StackedLinear, StackedResampleNorm,
};
use crate::model::network::lstm::{Lstm, LstmLayer};
use crate::model::weights::WeightTensor;

impl Loader<'_> {
    pub(super) fn lstm(&self, name: &str) -> Lstm {
        let layer = |layer: usize| {
            let matrix = |part: &str| {
                let tensor = self.weights.tensor(&format!("{name}.{part}_l{layer}"));
                self.parameter([tensor.shape[0], tensor.shape[1]], tensor.values.clone())
            };
            let vector = |part: &str| {
                let tensor = self.weights.tensor(&format!("{name}.{part}_l{layer}"));
                self.parameter([tensor.shape[0]], tensor.values.clone())
            };
            LstmLayer {
                weight_ih: matrix("weight_ih"),
                weight_hh: matrix("weight_hh"),
                bias_ih: vector("bias_ih"),
                bias_hh: vector("bias_hh"),
            }
        };
        Lstm { layers: (0..self.architecture.lstm_layers).map(layer).collect() }
    }

    pub(super) fn gated_residual(&self, name: &str) -> StackedGatedResidual {
        self.gated_residual_stack(&[name.to_owned()])
    }

    pub(super) fn gated_residual_stack(&self, names: &[String]) -> StackedGatedResidual {
        let part = |suffix: &str| with_suffix(names, suffix);
        let input = self.weights.tensor(&format!("{}.fc1.weight", names[0])).shape[1];
        let output = self.weights.tensor(&format!("{}.gate_norm.add_norm.norm.weight", names[0])).shape[0];
        let has_context = self.weights.has(&format!("{}.context.weight", names[0]));
        StackedGatedResidual {
            resample: (input != output).then(|| self.resample_norm(&part("resample_norm"), input)),
            fc1: self.linear(&part("fc1")),
            context: has_context.then(|| self.linear(&part("context"))),
            fc2: self.linear(&part("fc2")),
            gate_norm: self.gate_norm(&part("gate_norm")),
        }
    }

    pub(super) fn gate_norm(&self, names: &[String]) -> StackedGateNorm {
        StackedGateNorm {
            gate: self.linear(&with_suffix(names, "glu.fc")),
            norm: self.layer_norm(&with_suffix(names, "add_norm.norm")),
        }
    }

    pub(super) fn resample_norm(&self, names: &[String], input: usize) -> StackedResampleNorm {
        let output = self.weights.tensor(&format!("{}.mask", names[0])).shape[0];
        let interpolation =
            (input != output).then(|| self.parameter([1, input, output], interpolation(input, output)));
        StackedResampleNorm {
            interpolation,
            mask: self.parameter([names.len(), 1, output], self.concatenated(names, "mask")),
            norm: self.layer_norm(&with_suffix(names, "norm")),
        }
    }

    pub(super) fn layer_norm(&self, names: &[String]) -> StackedLayerNorm {
        let width = self.weights.tensor(&format!("{}.weight", names[0])).shape[0];
        StackedLayerNorm {
            gamma: self.parameter([names.len(), 1, width], self.concatenated(names, "weight")),
            beta: self.parameter([names.len(), 1, width], self.concatenated(names, "bias")),
            epsilon: self.architecture.layer_norm_eps,
        }
    }

    /// Stacks linear layers of one shape: weights `[S, input, output]`.
    pub(super) fn linear(&self, names: &[String]) -> StackedLinear {
        let shape = &self.weights.tensor(&format!("{}.weight", names[0])).shape;
        let (output, input) = (shape[0], shape[1]);
        let weight = TensorData::new(self.concatenated(names, "weight"), [names.len(), output, input]);
        let weight = Tensor::<3>::from_data(weight, self.device).swap_dims(1, 2);
        let has_bias = self.weights.has(&format!("{}.bias", names[0]));
        let bias = || self.parameter([names.len(), 1, output], self.concatenated(names, "bias"));
        StackedLinear { weight: Param::from_tensor(weight), bias: has_bias.then(bias) }
    }

    /// Joins linear layers of one input into one layer with all their outputs.
    pub(super) fn side_by_side(&self, names: &[String]) -> StackedLinear {
        let tensors = names.iter().map(|name| self.weights.tensor(&format!("{name}.weight")));
        let rows: Vec<Tensor<2>> =
            tensors.map(|tensor| Tensor::from_data(data(tensor), self.device)).collect();
        let weight = Tensor::cat(rows, 0).transpose().unsqueeze_dim(0);
        let bias = self.concatenated(names, "bias");
        let width = bias.len();
        StackedLinear { weight: Param::from_tensor(weight), bias: Some(self.parameter([1, 1, width], bias)) }
    }

    pub(super) fn concatenated(&self, names: &[String], part: &str) -> Vec<f32> {
        let tensors = names.iter().map(|name| self.weights.tensor(&format!("{name}.{part}")));
        tensors.flat_map(|tensor| tensor.values.iter().copied()).collect()
    }

    pub(super) fn parameter<const D: usize>(&self, shape: [usize; D], values: Vec<f32>) -> Param<Tensor<D>> {
        Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), self.device))
    }
}

fn with_suffix(names: &[String], suffix: &str) -> Vec<String> {
    names.iter().map(|name| format!("{name}.{suffix}")).collect()
}

pub(super) fn data(tensor: &WeightTensor) -> TensorData {
    TensorData::new(tensor.values.clone(), tensor.shape.clone())
}
