//! The table of tensors that a network of a given [`Architecture`] has.
//!
//! Names and shapes are those of pytorch-forecasting's `TemporalFusionTransformer.state_dict()`.

use std::collections::BTreeMap;

use super::architecture::{Architecture, SelectionVariables};

/// The tensors of a state dict, each under its own name, an alias or both.
#[derive(Debug, Default)]
pub(crate) struct StateDict {
    /// Name to shape of each required tensor.
    pub(crate) required: BTreeMap<String, Vec<usize>>,
    /// Other name of a tensor to its own name.
    pub(crate) aliases: BTreeMap<String, String>,
}

impl StateDict {
    /// Builds the table for an architecture.
    pub(crate) fn of(architecture: &Architecture) -> Self {
        let mut table = Self::default();
        table.inputs(architecture);
        for selection in architecture.selections() {
            table.selection(architecture, &selection);
        }
        table.static_contexts(architecture.hidden_size);
        table.lstms(architecture);
        table.decoder(architecture);
        table.outputs(architecture);
        table
    }

    fn inputs(&mut self, architecture: &Architecture) {
        for (name, &(classes, width)) in &architecture.embedding_sizes {
            self.add(format!("input_embeddings.embeddings.{name}.weight"), &[classes, width]);
        }
        for name in architecture.used_reals() {
            self.linear(&format!("prescalers.{name}"), 1, architecture.continuous_size(name));
        }
    }

    fn selection(&mut self, architecture: &Architecture, variables: &SelectionVariables) {
        let (network, hidden, count) = (variables.network, architecture.hidden_size, variables.count());
        let mut total_width = 0;
        for name in &variables.categoricals {
            let width = architecture.embedding(name).1;
            self.categorical(variables, name, [width, width.min(hidden), hidden]);
            total_width += width;
        }
        for name in &variables.reals {
            let width = architecture.continuous_size(name);
            self.real(variables, name, [width, width.min(hidden), hidden]);
            total_width += width;
        }
        if count > 1 {
            let sizes = [total_width, hidden.min(count), count];
            let context = variables.has_context.then_some(hidden);
            self.gated_residual(&format!("{network}.flattened_grn"), sizes, context);
        }
    }

    fn categorical(&mut self, variables: &SelectionVariables, name: &str, sizes: [usize; 3]) {
        if variables.shares_single_networks {
            self.single_network(variables, name, sizes);
        } else {
            self.resample_norm(&variables.single_network(name), sizes[2]);
        }
    }

    fn real(&mut self, variables: &SelectionVariables, name: &str, sizes: [usize; 3]) {
        self.single_network(variables, name, sizes);
        for part in ["weight", "bias"] {
            let alias = format!("{}.prescalers.{name}.{part}", variables.network);
            self.aliases.insert(alias, format!("prescalers.{name}.{part}"));
        }
    }

    /// One variable's gated residual network; if it is shared, its tensors may also lie below this selection
    /// network.
    fn single_network(&mut self, variables: &SelectionVariables, name: &str, sizes: [usize; 3]) {
        let shared = variables.single_network(name);
        let mut network = Self::default();
        network.gated_residual(&shared, sizes, None);
        if variables.shares_single_networks {
            let own = variables.own_single_network(name);
            let alias = |tensor: &String| (tensor.replacen(&shared, &own, 1), tensor.clone());
            self.aliases.extend(network.required.keys().map(alias));
        }
        self.required.append(&mut network.required);
    }

    fn static_contexts(&mut self, hidden: usize) {
        for purpose in ["variable_selection", "initial_hidden_lstm", "initial_cell_lstm", "enrichment"] {
            self.gated_residual(&format!("static_context_{purpose}"), [hidden; 3], None);
        }
    }

    fn lstms(&mut self, architecture: &Architecture) {
        let hidden = architecture.hidden_size;
        for side in ["encoder", "decoder"] {
            for layer in 0..architecture.lstm_layers {
                self.add(format!("lstm_{side}.weight_ih_l{layer}"), &[4 * hidden, hidden]);
                self.add(format!("lstm_{side}.weight_hh_l{layer}"), &[4 * hidden, hidden]);
                self.add(format!("lstm_{side}.bias_ih_l{layer}"), &[4 * hidden]);
                self.add(format!("lstm_{side}.bias_hh_l{layer}"), &[4 * hidden]);
            }
        }
        self.linear("post_lstm_gate_encoder.fc", hidden, 2 * hidden);
        self.layer_norm("post_lstm_add_norm_encoder.norm", hidden);
        for part in ["weight", "bias"] {
            for module in ["post_lstm_gate_{}.fc", "post_lstm_add_norm_{}.norm"] {
                let alias = format!("{}.{part}", module.replace("{}", "decoder"));
                self.aliases.insert(alias, format!("{}.{part}", module.replace("{}", "encoder")));
            }
        }
    }

    fn decoder(&mut self, architecture: &Architecture) {
        let (hidden, width) = (architecture.hidden_size, architecture.head_width());
        self.gated_residual("static_enrichment", [hidden; 3], Some(hidden));
        self.linear("multihead_attn.v_layer", hidden, width);
        for head in 0..architecture.attention_head_size {
            self.linear(&format!("multihead_attn.q_layers.{head}"), hidden, width);
            self.linear(&format!("multihead_attn.k_layers.{head}"), hidden, width);
        }
        self.add("multihead_attn.w_h.weight".into(), &[hidden, width]);
        self.gate_norm("post_attn_gate_norm", hidden, hidden);
        self.gated_residual("pos_wise_ff", [hidden; 3], None);
        self.gate_norm("pre_output_gate_norm", hidden, hidden);
    }

    fn outputs(&mut self, architecture: &Architecture) {
        let hidden = architecture.hidden_size;
        for (target, levels) in architecture.quantiles.iter().enumerate() {
            self.linear(&output_layer(architecture, target), hidden, levels.len());
        }
    }

    fn gated_residual(&mut self, name: &str, sizes: [usize; 3], context: Option<usize>) {
        let [input, hidden, output] = sizes;
        if input != output {
            self.resample_norm(&format!("{name}.resample_norm"), output);
        }
        self.linear(&format!("{name}.fc1"), input, hidden);
        if let Some(context) = context {
            self.add(format!("{name}.context.weight"), &[hidden, context]);
        }
        self.linear(&format!("{name}.fc2"), hidden, hidden);
        self.gate_norm(&format!("{name}.gate_norm"), hidden, output);
    }

    fn gate_norm(&mut self, name: &str, input: usize, output: usize) {
        self.linear(&format!("{name}.glu.fc"), input, 2 * output);
        self.layer_norm(&format!("{name}.add_norm.norm"), output);
    }

    fn resample_norm(&mut self, name: &str, output: usize) {
        self.add(format!("{name}.mask"), &[output]);
        self.layer_norm(&format!("{name}.norm"), output);
    }

    fn layer_norm(&mut self, name: &str, width: usize) {
        self.add(format!("{name}.weight"), &[width]);
        self.add(format!("{name}.bias"), &[width]);
    }

    fn linear(&mut self, name: &str, input: usize, output: usize) {
        self.add(format!("{name}.weight"), &[output, input]);
        self.add(format!("{name}.bias"), &[output]);
    }

    fn add(&mut self, name: String, shape: &[usize]) {
        self.required.insert(name, shape.to_vec());
    }
}

/// Returns the name of a target's output layer: numbered only where there are several.
pub(crate) fn output_layer(architecture: &Architecture, target: usize) -> String {
    if architecture.targets() == 1 { "output_layer".into() } else { format!("output_layer.{target}") }
}
