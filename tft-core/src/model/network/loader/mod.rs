//! Builds the modules from checked weights.
//!
//! | module | state-dict prefix |
//! |---|---|
//! | `SharedInputs` | `input_embeddings.embeddings.<categorical>`, `prescalers.<real>` |
//! | `VariableSelection` | `{static,encoder,decoder}_variable_selection.{single_variable_grns,flattened_grn}`, `shared_single_variable_grns` |
//! | `StaticContexts` | `static_context_{variable_selection,initial_hidden_lstm,initial_cell_lstm,enrichment}` |
//! | `Lstm` | `lstm_{encoder,decoder}.{weight,bias}_{ih,hh}_l<layer>` |
//! | `post_lstm` | `post_lstm_gate_encoder.fc`, `post_lstm_add_norm_encoder.norm` |
//! | `static_enrichment` | `static_enrichment` |
//! | `attention` | `multihead_attn` |
//! | `post_attention`, `position_wise`, `pre_output` | `post_attn_gate_norm`, `pos_wise_ff`, `pre_output_gate_norm` |
//! | `output` | `output_layer` or `output_layer.<target>` |

mod layers;
mod selection;

use burn::module::Param;
use burn::tensor::{Device, Tensor};

use self::layers::data;
use super::attention::InterpretableAttention;
use super::gated_residual::{StackedGateNorm, StackedLinear};
use super::{Modules, StaticContexts};
use crate::model::architecture::Architecture;
use crate::model::state_dict::output_layer;
use crate::model::weights::Weights;

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
}
