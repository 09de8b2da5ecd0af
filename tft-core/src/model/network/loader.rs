//! Builds the modules from checked weights.
//!
//! | module | state-dict prefix |
//! |---|---|
//! | `SharedInputs` | `input_embeddings.embeddings.<categorical>`, `prescalers.<real>` |
//! | `VariableSelection` | `{static,encoder,decoder}_variable_selection.{single_variable_grns,flattened_grn}` |
//! | `StaticContexts` | `static_context_{variable_selection,initial_hidden_lstm,initial_cell_lstm,enrichment}` |
//! | `Lstm` | `lstm_{encoder,decoder}.{weight,bias}_{ih,hh}_l<layer>` |
//! | `post_lstm` | `post_lstm_gate_encoder.fc`, `post_lstm_add_norm_encoder.norm` |
//! | `static_enrichment` | `static_enrichment` |
//! | `attention` | `multihead_attn` |
//! | `post_attention`, `position_wise`, `pre_output` | `post_attn_gate_norm`, `pos_wise_ff`, `pre_output_gate_norm` |
//! | `output` | `output_layer` or `output_layer.<target>` |

use burn::module::Param;
use burn::tensor::{Device, Tensor, TensorData};

use super::attention::InterpretableAttention;
use super::gated_residual::{
    StackedGateNorm, StackedGatedResidual, StackedLayerNorm, StackedLinear, StackedResampleNorm,
};
use super::lstm::{Lstm, LstmLayer};
use super::selection::{CategoricalVariable, Prescalers, RealVariables, SharedInputs, VariableSelection};
use super::{Modules, StaticContexts};
use crate::model::architecture::{Architecture, SelectionVariables};
use crate::model::state_dict::output_layer;
use crate::model::weights::{WeightTensor, Weights};

/// Builds all modules on a device.
///
/// # Panics
/// Never, for weights that were checked against the same architecture.
pub(super) fn load(architecture: &Architecture, weights: &Weights, device: &Device) -> Modules {
    let loader = Loader { architecture, weights, device };
    let [statics, encoder, decoder] = architecture.selections();
    Modules {
        shared: loader.shared_inputs(),
        static_selection: loader.selection(&statics),
        encoder_selection: loader.selection(&encoder),
        decoder_selection: loader.selection(&decoder),
        contexts: StaticContexts {
            variable_selection: loader.gated_residual("static_context_variable_selection"),
            initial_hidden: loader.gated_residual("static_context_initial_hidden_lstm"),
            initial_cell: loader.gated_residual("static_context_initial_cell_lstm"),
            enrichment: loader.gated_residual("static_context_enrichment"),
        },
        lstm_encoder: loader.lstm("lstm_encoder"),
        lstm_decoder: loader.lstm("lstm_decoder"),
        post_lstm: StackedGateNorm {
            gate: loader.linear(&["post_lstm_gate_encoder.fc".into()]),
            norm: loader.layer_norm(&["post_lstm_add_norm_encoder.norm".into()]),
        },
        static_enrichment: loader.gated_residual("static_enrichment"),
        attention: loader.attention(),
        post_attention: loader.gate_norm(&["post_attn_gate_norm".into()]),
        position_wise: loader.gated_residual("pos_wise_ff"),
        pre_output: loader.gate_norm(&["pre_output_gate_norm".into()]),
        output: loader.output(),
    }
}

struct Loader<'a> {
    architecture: &'a Architecture,
    weights: &'a Weights,
    device: &'a Device,
}

impl Loader<'_> {
    fn shared_inputs(&self) -> SharedInputs {
        let embedding = |name: &String| {
            let tensor = self.weights.tensor(&format!("input_embeddings.embeddings.{name}.weight"));
            self.parameter([tensor.shape[0], tensor.shape[1]], tensor.values.clone())
        };
        let prescalers = |(width, reals): &(usize, Vec<String>)| {
            let names: Vec<_> = reals.iter().map(|real| format!("prescalers.{real}")).collect();
            let shape = [reals.len(), 1, *width];
            Prescalers {
                weight: self.parameter(shape, self.concatenated(&names, "weight")),
                bias: self.parameter(shape, self.concatenated(&names, "bias")),
            }
        };
        SharedInputs {
            embeddings: self.architecture.x_categoricals.iter().map(embedding).collect(),
            prescalers: self.groups_by_width(&self.architecture.x_reals).iter().map(prescalers).collect(),
        }
    }

    fn selection(&self, variables: &SelectionVariables) -> VariableSelection {
        let single = |name: &str| format!("{}.single_variable_grns.{name}", variables.network);
        let categorical = |name: &String| CategoricalVariable {
            resample: self.resample_norm(&[single(name)], self.architecture.embedding(name).1),
            column: position(&self.architecture.x_categoricals, name),
        };
        let groups = self.groups_by_width(&variables.reals);
        let real_group = |(width, reals): &(usize, Vec<String>)| {
            let names: Vec<_> = reals.iter().map(|real| single(real)).collect();
            RealVariables {
                networks: self.gated_residual_stack(&names),
                columns: reals.iter().map(|real| position(&self.architecture.x_reals, real) as i32).collect(),
                prescaler: self.prescaler_rows(*width, reals),
            }
        };
        VariableSelection {
            categoricals: variables.categoricals.iter().map(categorical).collect(),
            reals: groups.iter().map(real_group).collect(),
            flattened: (variables.count() > 1).then(|| self.flattened(variables, &groups)),
            weight_order: weight_order(variables, &groups),
            hidden_size: self.architecture.hidden_size,
        }
    }

    /// The flattened network takes its inputs in stack order, so the rows of its first layer and of its
    /// interpolation move along.
    fn flattened(
        &self,
        variables: &SelectionVariables,
        groups: &[(usize, Vec<String>)],
    ) -> StackedGatedResidual {
        let name = format!("{}.flattened_grn", variables.network);
        let mut network = self.gated_residual(&name);
        let order = self.feature_order(variables, groups);
        network.fc1.weight = self.reordered(&network.fc1.weight, &order);
        if let Some(resample) = &mut network.resample {
            resample.interpolation =
                resample.interpolation.as_ref().map(|matrix| self.reordered(matrix, &order));
        }
        network
    }

    /// For each input feature in stack order, its position in the reference's order.
    fn feature_order(&self, variables: &SelectionVariables, groups: &[(usize, Vec<String>)]) -> Vec<i32> {
        let widths = variables.categoricals.iter().map(|name| self.architecture.embedding(name).1);
        let widths = widths.chain(variables.reals.iter().map(|name| self.architecture.continuous_size(name)));
        let widths: Vec<usize> = widths.collect();
        let starts: Vec<usize> =
            widths.iter().scan(0, |end, width| Some(std::mem::replace(end, *end + width))).collect();
        let in_order = weight_order(variables, groups).into_iter();
        in_order
            .flat_map(|variable| starts[variable]..starts[variable] + widths[variable])
            .map(|f| f as i32)
            .collect()
    }

    fn reordered(&self, matrix: &Param<Tensor<3>>, order: &[i32]) -> Param<Tensor<3>> {
        Param::from_tensor(matrix.val().select(1, Tensor::from_data(order, self.device)))
    }

    fn prescaler_rows(&self, width: usize, reals: &[String]) -> (usize, Vec<i32>) {
        let groups = self.groups_by_width(&self.architecture.x_reals);
        let group = groups.iter().position(|(other, _)| *other == width);
        let group = group.expect("invariant: every selected real is in x_reals");
        (group, reals.iter().map(|real| position(&groups[group].1, real) as i32).collect())
    }

    fn groups_by_width(&self, reals: &[String]) -> Vec<(usize, Vec<String>)> {
        let mut groups: Vec<(usize, Vec<String>)> = Vec::new();
        for real in reals {
            let width = self.architecture.continuous_size(real);
            match groups.iter_mut().find(|(other, _)| *other == width) {
                Some((_, members)) => members.push(real.clone()),
                None => groups.push((width, vec![real.clone()])),
            }
        }
        groups
    }

    fn lstm(&self, name: &str) -> Lstm {
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

    fn attention(&self) -> InterpretableAttention {
        let heads = self.architecture.attention_head_size;
        let names =
            |part: &str| (0..heads).map(|head| format!("multihead_attn.{part}.{head}")).collect::<Vec<_>>();
        let output = self.weights.tensor("multihead_attn.w_h.weight");
        let output = Tensor::<2>::from_data(data(output), self.device).transpose();
        InterpretableAttention {
            query: self.side_by_side(&names("q_layers")),
            key: self.side_by_side(&names("k_layers")),
            value: self.linear(&["multihead_attn.v_layer".into()]),
            output: Param::from_tensor(output),
            heads,
            mask_bias: self.architecture.mask_bias,
        }
    }

    fn output(&self) -> StackedLinear {
        let targets = 0..self.architecture.targets();
        let names: Vec<_> = targets.map(|target| output_layer(self.architecture, target)).collect();
        self.side_by_side(&names)
    }

    fn gated_residual(&self, name: &str) -> StackedGatedResidual {
        self.gated_residual_stack(&[name.to_owned()])
    }

    fn gated_residual_stack(&self, names: &[String]) -> StackedGatedResidual {
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

    fn gate_norm(&self, names: &[String]) -> StackedGateNorm {
        StackedGateNorm {
            gate: self.linear(&with_suffix(names, "glu.fc")),
            norm: self.layer_norm(&with_suffix(names, "add_norm.norm")),
        }
    }

    fn resample_norm(&self, names: &[String], input: usize) -> StackedResampleNorm {
        let output = self.weights.tensor(&format!("{}.mask", names[0])).shape[0];
        let interpolation =
            (input != output).then(|| self.parameter([1, input, output], interpolation(input, output)));
        StackedResampleNorm {
            interpolation,
            mask: self.parameter([names.len(), 1, output], self.concatenated(names, "mask")),
            norm: self.layer_norm(&with_suffix(names, "norm")),
        }
    }

    fn layer_norm(&self, names: &[String]) -> StackedLayerNorm {
        let width = self.weights.tensor(&format!("{}.weight", names[0])).shape[0];
        StackedLayerNorm {
            gamma: self.parameter([names.len(), 1, width], self.concatenated(names, "weight")),
            beta: self.parameter([names.len(), 1, width], self.concatenated(names, "bias")),
            epsilon: self.architecture.layer_norm_eps,
        }
    }

    /// Stacks linear layers of one shape: weights `[S, input, output]`.
    fn linear(&self, names: &[String]) -> StackedLinear {
        let shape = &self.weights.tensor(&format!("{}.weight", names[0])).shape;
        let (output, input) = (shape[0], shape[1]);
        let weight = TensorData::new(self.concatenated(names, "weight"), [names.len(), output, input]);
        let weight = Tensor::<3>::from_data(weight, self.device).swap_dims(1, 2);
        let has_bias = self.weights.has(&format!("{}.bias", names[0]));
        let bias = || self.parameter([names.len(), 1, output], self.concatenated(names, "bias"));
        StackedLinear { weight: Param::from_tensor(weight), bias: has_bias.then(bias) }
    }

    /// Joins linear layers of one input into one layer with all their outputs.
    fn side_by_side(&self, names: &[String]) -> StackedLinear {
        let tensors = names.iter().map(|name| self.weights.tensor(&format!("{name}.weight")));
        let rows: Vec<Tensor<2>> =
            tensors.map(|tensor| Tensor::from_data(data(tensor), self.device)).collect();
        let weight = Tensor::cat(rows, 0).transpose().unsqueeze_dim(0);
        let bias = self.concatenated(names, "bias");
        let width = bias.len();
        StackedLinear { weight: Param::from_tensor(weight), bias: Some(self.parameter([1, 1, width], bias)) }
    }

    fn concatenated(&self, names: &[String], part: &str) -> Vec<f32> {
        let tensors = names.iter().map(|name| self.weights.tensor(&format!("{name}.{part}")));
        tensors.flat_map(|tensor| tensor.values.iter().copied()).collect()
    }

    fn parameter<const D: usize>(&self, shape: [usize; D], values: Vec<f32>) -> Param<Tensor<D>> {
        Param::from_tensor(Tensor::from_data(TensorData::new(values, shape), self.device))
    }
}

/// For each variable in stack order (categoricals, then reals by width), its place in the order of weights.
fn weight_order(variables: &SelectionVariables, groups: &[(usize, Vec<String>)]) -> Vec<usize> {
    let categoricals = variables.categoricals.len();
    let reals = groups.iter().flat_map(|(_, members)| members);
    let reals = reals.map(|real| categoricals + position(&variables.reals, real));
    (0..categoricals).chain(reals).collect()
}

/// The matrix of linear interpolation with aligned corners, `[input, output]` row by row.
fn interpolation(input: usize, output: usize) -> Vec<f32> {
    let mut matrix = vec![0.0; input * output];
    for column in 0..output {
        let at = if output == 1 { 0.0 } else { column as f64 * (input - 1) as f64 / (output - 1) as f64 };
        let low = (at.floor() as usize).min(input - 1);
        let high = (low + 1).min(input - 1);
        let share = (at - low as f64) as f32;
        matrix[low * output + column] += 1.0 - share;
        matrix[high * output + column] += share;
    }
    matrix
}

fn with_suffix(names: &[String], suffix: &str) -> Vec<String> {
    names.iter().map(|name| format!("{name}.{suffix}")).collect()
}

fn position(names: &[String], name: &str) -> usize {
    names.iter().position(|other| other == name).expect("invariant: the architecture was validated")
}

fn data(tensor: &WeightTensor) -> TensorData {
    TensorData::new(tensor.values.clone(), tensor.shape.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpolation_keeps_corners_and_sums_to_one() {
        let matrix = interpolation(3, 5);
        let column = |index: usize| [matrix[index], matrix[5 + index], matrix[10 + index]];
        let is_close = |found: &[f32], expected: &[f32]| {
            found.iter().zip(expected).all(|(found, expected)| (found - expected).abs() < 1e-7)
        };
        assert!(is_close(&column(0), &[1.0, 0.0, 0.0]));
        assert!(is_close(&column(1), &[0.5, 0.5, 0.0]));
        assert!(is_close(&column(4), &[0.0, 0.0, 1.0]));
        assert!(is_close(&interpolation(4, 1), &[1.0, 0.0, 0.0, 0.0]));
    }
}
