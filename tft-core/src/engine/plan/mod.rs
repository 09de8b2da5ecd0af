//! The compiler: from checked weights to packed, folded matrices.
//!
//! Everything here runs once per model, in double precision; what the kernels read is single.

mod affine;
mod gated;
mod recurrent;
mod selection;

pub(super) use gated::{GateNormPlan, GatedPlan};
pub(super) use recurrent::LstmPlan;
pub(super) use selection::{RealPlan, SelectionPlan, WeighingPlan};

use std::sync::atomic::{AtomicU64, Ordering};

use self::affine::Affine;
use self::gated::packed;
use super::kernels::linear::PackedLinear;
use crate::model::architecture::Architecture;
use crate::model::state_dict::output_layer;
use crate::model::weights::Weights;

/// How many plans were made.
static PLANS: AtomicU64 = AtomicU64::new(0);

/// A compiled network.
#[derive(Debug)]
pub(super) struct Plan {
    /// Another one for every plan of the process.
    pub(super) id: u64,
    pub(super) hidden: usize,
    pub(super) statics: SelectionPlan,
    pub(super) encoder: SelectionPlan,
    pub(super) decoder: SelectionPlan,
    /// The contexts: variable selection, initial hidden state, initial cell state, enrichment.
    pub(super) contexts: [GatedPlan; 4],
    pub(super) lstm_encoder: Vec<LstmPlan>,
    pub(super) lstm_decoder: Vec<LstmPlan>,
    pub(super) post_lstm: GateNormPlan,
    pub(super) enrichment: GatedPlan,
    pub(super) attention: AttentionPlan,
    pub(super) post_attention: GateNormPlan,
    pub(super) position_wise: GatedPlan,
    pub(super) pre_output: GateNormPlan,
    /// The output layers of all targets, one after the other.
    pub(super) output: PackedLinear,
}

/// Interpretable multi-head attention (§4.4).
#[derive(Debug)]
pub(super) struct AttentionPlan {
    pub(super) heads: usize,
    pub(super) width: usize,
    /// The queries of all heads, already divided by the square root of their width.
    pub(super) query: PackedLinear,
    pub(super) key: PackedLinear,
    pub(super) value: PackedLinear,
    pub(super) mask_bias: f32,
    pub(super) is_causal: bool,
}

impl Plan {
    pub(super) fn of(architecture: &Architecture, weights: &Weights) -> Self {
        let epsilon = architecture.layer_norm_eps as f32;
        let [statics, encoder, decoder] =
            architecture.selections().map(|variables| SelectionPlan::of(architecture, weights, &variables));
        let gated = |name: &str| GatedPlan::of(weights, name, epsilon);
        let gate_norm = |name: &str, before: Option<&Affine>| {
            let (gate, norm) = (format!("{name}.glu.fc"), format!("{name}.add_norm.norm"));
            GateNormPlan::of(weights, &gate, &norm, before, epsilon)
        };
        let lstm = |side: &str| LstmPlan::layers(weights, side, architecture.lstm_layers);
        let post_lstm = ["post_lstm_gate_encoder.fc", "post_lstm_add_norm_encoder.norm"];
        Self {
            id: PLANS.fetch_add(1, Ordering::Relaxed),
            hidden: architecture.hidden_size,
            statics,
            encoder,
            decoder,
            contexts: ["variable_selection", "initial_hidden_lstm", "initial_cell_lstm", "enrichment"]
                .map(|purpose| gated(&format!("static_context_{purpose}"))),
            lstm_encoder: lstm("lstm_encoder"),
            lstm_decoder: lstm("lstm_decoder"),
            post_lstm: GateNormPlan::of(weights, post_lstm[0], post_lstm[1], None, epsilon),
            enrichment: gated("static_enrichment"),
            attention: AttentionPlan::of(architecture, weights),
            // Nothing lies between the attention's output projection and the gate.
            post_attention: gate_norm(
                "post_attn_gate_norm",
                Some(&Affine::of(weights, "multihead_attn.w_h")),
            ),
            position_wise: gated("pos_wise_ff"),
            pre_output: gate_norm("pre_output_gate_norm", None),
            output: output(architecture, weights),
        }
    }
}

impl Plan {
    /// Returns the widest layer that a static row passes.
    pub(super) fn widest(&self) -> usize {
        let context = |side: &SelectionPlan| side.weighing.as_ref().map_or(0, |weighing| weighing.hidden);
        let contexts = context(&self.encoder).max(context(&self.decoder));
        self.statics.widest().max(self.hidden).max(contexts)
    }
}

impl AttentionPlan {
    fn of(architecture: &Architecture, weights: &Weights) -> Self {
        let heads = architecture.attention_head_size;
        let width = architecture.head_width();
        let side_by_side = |part: &str, scale: f64| {
            let mut all = Affine { weight: Vec::new(), bias: Vec::new(), inputs: architecture.hidden_size };
            for head in 0..heads {
                all = all.above(&Affine::of(weights, &format!("multihead_attn.{part}.{head}")));
            }
            all.weight.iter_mut().chain(&mut all.bias).for_each(|value| *value *= scale);
            packed(&all)
        };
        Self {
            heads,
            width,
            query: side_by_side("q_layers", 1.0 / (width as f64).sqrt()),
            key: side_by_side("k_layers", 1.0),
            value: packed(&Affine::of(weights, "multihead_attn.v_layer")),
            mask_bias: architecture.mask_bias,
            is_causal: architecture.causal_attention,
        }
    }
}

fn output(architecture: &Architecture, weights: &Weights) -> PackedLinear {
    let mut all = Affine { weight: Vec::new(), bias: Vec::new(), inputs: architecture.hidden_size };
    for target in 0..architecture.targets() {
        all = all.above(&Affine::of(weights, &output_layer(architecture, target)));
    }
    packed(&all)
}
