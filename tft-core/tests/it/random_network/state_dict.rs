//! A state dict of random numbers, module by module as the reference's constructor makes them.

use tft_core::model::Architecture;

use super::Numbers;
use crate::plain_network::{StateTensor, StateTensors};

/// A state dict in the making.
pub(super) struct StateDict {
    numbers: Numbers,
    pub(super) tensors: StateTensors,
    /// Other name of a tensor and its own.
    pub(super) aliases: Vec<(String, String)>,
}

impl StateDict {
    pub(super) fn of(architecture: &Architecture, seed: u64) -> Self {
        let mut state =
            Self { numbers: Numbers(seed), tensors: StateTensors::default(), aliases: Vec::new() };
        state.inputs(architecture);
        state.selections(architecture);
        state.recurrence(architecture);
        state.decoder(architecture);
        state
    }

    fn inputs(&mut self, of: &Architecture) {
        for (name, &(classes, width)) in &of.embedding_sizes {
            self.uniform(&format!("input_embeddings.embeddings.{name}.weight"), &[classes, width], 0.0, 1.5);
        }
        let reals = [&of.static_reals, &of.time_varying_reals_encoder, &of.time_varying_reals_decoder];
        for name in reals.into_iter().flatten() {
            self.linear(&format!("prescalers.{name}"), 1, of.continuous_size(name));
        }
    }

    fn selections(&mut self, of: &Architecture) {
        let lists = [
            ("static", &of.static_categoricals, &of.static_reals),
            ("encoder", &of.time_varying_categoricals_encoder, &of.time_varying_reals_encoder),
            ("decoder", &of.time_varying_categoricals_decoder, &of.time_varying_reals_decoder),
        ];
        for (side, categoricals, reals) in lists {
            let widths: Vec<usize> = categoricals
                .iter()
                .map(|name| of.embedding_sizes[name].1)
                .chain(reals.iter().map(|name| of.continuous_size(name)))
                .collect();
            for (index, name) in categoricals.iter().chain(reals).enumerate() {
                let is_categorical = index < categoricals.len();
                self.single(of, side, name, is_categorical, widths[index]);
            }
            if widths.len() > 1 {
                let sizes = [widths.iter().sum(), of.hidden_size.min(widths.len()), widths.len()];
                let context = (side != "static").then_some(of.hidden_size);
                self.gated_residual(&format!("{side}_variable_selection.flattened_grn"), sizes, context);
            }
        }
    }

    fn single(&mut self, of: &Architecture, side: &str, name: &str, is_categorical: bool, width: usize) {
        let network = format!("{side}_variable_selection");
        let own = format!("{network}.single_variable_grns.{name}");
        let sizes = [width, width.min(of.hidden_size), of.hidden_size];
        if of.share_single_variable_networks && side != "static" {
            let shared = format!("shared_single_variable_grns.{name}");
            self.gated_residual(&shared, sizes, None);
            self.alias_all(&format!("{shared}."), &format!("{own}."));
        } else if is_categorical {
            self.resample_norm(&own, of.hidden_size);
        } else {
            self.gated_residual(&own, sizes, None);
        }
        self.alias_all(&format!("prescalers.{name}."), &format!("{network}.prescalers.{name}."));
    }

    fn recurrence(&mut self, of: &Architecture) {
        let hidden = of.hidden_size;
        for context in ["variable_selection", "initial_hidden_lstm", "initial_cell_lstm", "enrichment"] {
            self.gated_residual(&format!("static_context_{context}"), [hidden; 3], None);
        }
        for (side, layer) in (0..of.lstm_layers).flat_map(|layer| [("encoder", layer), ("decoder", layer)]) {
            for kind in ["ih", "hh"] {
                let spread = 1.5 / (hidden as f64).sqrt();
                let name = |part: &str| format!("lstm_{side}.{part}_{kind}_l{layer}");
                self.uniform(&name("weight"), &[4 * hidden, hidden], 0.0, spread);
                self.uniform(&name("bias"), &[4 * hidden], 0.0, 0.5);
            }
        }
        self.linear("post_lstm_gate_encoder.fc", hidden, 2 * hidden);
        self.alias_all("post_lstm_gate_encoder.", "post_lstm_gate_decoder.");
        self.norm("post_lstm_add_norm_encoder.norm", hidden);
        self.alias_all("post_lstm_add_norm_encoder.", "post_lstm_add_norm_decoder.");
    }

    fn decoder(&mut self, of: &Architecture) {
        let (hidden, heads) = (of.hidden_size, of.attention_head_size);
        let width = hidden / heads;
        self.gated_residual("static_enrichment", [hidden; 3], Some(hidden));
        self.linear("multihead_attn.v_layer", hidden, width);
        for head in 0..heads {
            self.linear(&format!("multihead_attn.q_layers.{head}"), hidden, width);
            self.linear(&format!("multihead_attn.k_layers.{head}"), hidden, width);
        }
        self.uniform("multihead_attn.w_h.weight", &[hidden, width], 0.0, 1.0);
        self.gate_norm("post_attn_gate_norm", hidden, hidden);
        self.gated_residual("pos_wise_ff", [hidden; 3], None);
        self.gate_norm("pre_output_gate_norm", hidden, hidden);
        for (target, levels) in of.quantiles.iter().enumerate() {
            let numbered = format!("output_layer.{target}");
            let name = if of.targets() == 1 { "output_layer" } else { &numbered };
            self.linear(name, hidden, levels.len());
        }
    }

    fn gated_residual(&mut self, name: &str, [input, hidden, output]: [usize; 3], context: Option<usize>) {
        if input != output {
            self.resample_norm(&format!("{name}.resample_norm"), output);
        }
        self.linear(&format!("{name}.fc1"), input, hidden);
        if let Some(context) = context {
            self.uniform(&format!("{name}.context.weight"), &[hidden, context], 0.0, 0.7);
        }
        self.linear(&format!("{name}.fc2"), hidden, hidden);
        self.gate_norm(&format!("{name}.gate_norm"), hidden, output);
    }

    fn gate_norm(&mut self, name: &str, input: usize, output: usize) {
        self.linear(&format!("{name}.glu.fc"), input, 2 * output);
        self.norm(&format!("{name}.add_norm.norm"), output);
    }

    fn resample_norm(&mut self, name: &str, output: usize) {
        self.uniform(&format!("{name}.mask"), &[output], 0.0, 2.0);
        self.norm(&format!("{name}.norm"), output);
    }

    fn norm(&mut self, name: &str, width: usize) {
        self.uniform(&format!("{name}.weight"), &[width], 1.0, 0.5);
        self.uniform(&format!("{name}.bias"), &[width], 0.0, 0.5);
    }

    fn linear(&mut self, name: &str, input: usize, output: usize) {
        let spread = 1.5 / (input as f64).sqrt();
        self.uniform(&format!("{name}.weight"), &[output, input], 0.0, spread);
        self.uniform(&format!("{name}.bias"), &[output], 0.0, 0.5);
    }

    /// Values of single precision around a centre; a tensor that is there stays.
    fn uniform(&mut self, name: &str, shape: &[usize], center: f64, spread: f64) {
        let count = shape.iter().product();
        let value = |_| f64::from((center + spread * self.numbers.symmetric()) as f32);
        let values: Vec<f64> = (0..count).map(value).collect();
        self.tensors.0.entry(name.to_owned()).or_insert(StateTensor { shape: shape.to_vec(), values });
    }

    /// Gives all tensors below one prefix another name below a second one.
    fn alias_all(&mut self, prefix: &str, other: &str) {
        let names = self.tensors.0.keys().filter(|name| name.starts_with(prefix));
        let aliases = names.map(|name| (name.replacen(prefix, other, 1), name.clone()));
        self.aliases.extend(aliases);
    }
}
