//! A slow, plain network in double precision, written down from the paper (Lim et al., arXiv 1912.09363, §4)
//! with pytorch-forecasting's differences. It reads tensors by name and runs window by window.

mod layers;

use ndarray::{Array3, s};
use tft_core::model::{Architecture, TensorBatch};

use self::layers::{Layers, add, dot, softmax};
pub(crate) use self::layers::{StateTensor, StateTensors};

/// One vector per step.
pub(crate) type Steps = Vec<Vec<f64>>;

#[derive(Debug, Clone, Copy)]
pub(crate) struct PlainNetwork<'a> {
    architecture: &'a Architecture,
    layers: Layers<'a>,
}

/// What the network answers for one window, padded steps included.
#[derive(Debug)]
pub(crate) struct PlainOutput {
    /// `[target][decoder step][quantile]`
    pub(crate) targets: Vec<Steps>,
    /// `[decoder step][head][key]`
    pub(crate) attention: Vec<Steps>,
    pub(crate) static_weights: Vec<f64>,
    /// `[step][variable]`
    pub(crate) encoder_weights: Steps,
    /// `[step][variable]`
    pub(crate) decoder_weights: Steps,
}

/// The inputs of one step of one window.
struct Step {
    reals: Vec<f64>,
    codes: Vec<usize>,
}

/// The variables of a selection network, and where their own networks are.
struct Selection<'a> {
    name: &'static str,
    categoricals: &'a [String],
    reals: &'a [String],
    singles: String,
    is_shared: bool,
}

/// The hidden and cell state of every LSTM layer.
type State = Vec<(Vec<f64>, Vec<f64>)>;

impl<'a> PlainNetwork<'a> {
    pub(crate) fn new(architecture: &'a Architecture, tensors: &'a StateTensors) -> Self {
        Self { architecture, layers: Layers { tensors, epsilon: architecture.layer_norm_eps } }
    }

    /// §4.5: one window of a batch from its inputs to its quantiles.
    pub(crate) fn forward(&self, batch: &TensorBatch, window: usize) -> PlainOutput {
        let lengths = [batch.encoder_lengths[window], batch.decoder_lengths[window]];
        let widths = [batch.encoder_steps(), batch.decoder_steps()];
        let (past, future) = steps(batch, window);
        let [of_static, of_encoder, of_decoder] = self.selections();
        let (statics, static_weights) = self.select(&of_static, &past[0], None);
        let context =
            |name: &str| self.layers.gated_residual(&format!("static_context_{name}"), &statics, None);
        let selecting = context("variable_selection");
        let select = |selection: &Selection<'_>, steps: &[Step]| -> (Steps, Steps) {
            steps.iter().map(|step| self.select(selection, step, Some(&selecting))).unzip()
        };
        let (encoder, encoder_weights) = select(&of_encoder, &past);
        let (decoder, decoder_weights) = select(&of_decoder, &future);

        let start = (context("initial_hidden_lstm"), context("initial_cell_lstm"));
        let start = vec![start; self.architecture.lstm_layers];
        let temporal = self.local_features([&encoder, &decoder], lengths, start);
        let enriching = context("enrichment");
        let enrich = |x: &Vec<f64>| self.layers.gated_residual("static_enrichment", x, Some(&enriching));
        let enriched: Steps = temporal.iter().map(enrich).collect();
        let attention: Vec<Steps> =
            (0..widths[1]).map(|query| self.attention(&enriched, query, lengths, widths)).collect();
        let fused: Steps = (0..widths[1])
            .map(|query| self.fuse(&attention[query], &enriched, &temporal, widths[0] + query))
            .collect();
        PlainOutput {
            targets: self.quantiles(&fused),
            attention,
            static_weights,
            encoder_weights,
            decoder_weights,
        }
    }

    fn selections(&self) -> [Selection<'a>; 3] {
        let of = self.architecture;
        let is_shared = of.share_single_variable_networks;
        let selection = |name, categoricals, reals, is_shared| Selection {
            name,
            categoricals,
            reals,
            is_shared,
            singles: if is_shared {
                "shared_single_variable_grns".to_owned()
            } else {
                format!("{name}.single_variable_grns")
            },
        };
        let (encoder_categoricals, encoder_reals) =
            (&of.time_varying_categoricals_encoder, &of.time_varying_reals_encoder);
        let (decoder_categoricals, decoder_reals) =
            (&of.time_varying_categoricals_decoder, &of.time_varying_reals_decoder);
        [
            selection("static_variable_selection", &of.static_categoricals, &of.static_reals, false),
            selection("encoder_variable_selection", encoder_categoricals, encoder_reals, is_shared),
            selection("decoder_variable_selection", decoder_categoricals, decoder_reals, is_shared),
        ]
    }

    /// §4.2, eq. 6–8: the weighted sum of the variables' own networks, and the weights.
    fn select(&self, of: &Selection<'_>, step: &Step, context: Option<&[f64]>) -> (Vec<f64>, Vec<f64>) {
        let categoricals = of.categoricals.iter().map(|variable| self.embedding(variable, step));
        let reals = of.reals.iter().map(|variable| self.prescaled(variable, step));
        let inputs: Steps = categoricals.chain(reals).collect();
        let names = of.categoricals.iter().chain(of.reals).enumerate();
        let outputs: Steps =
            names.map(|(index, name)| self.single(of, name, index, &inputs[index])).collect();
        let weights = match outputs.len() {
            0 | 1 => vec![1.0; outputs.len()],
            _ => {
                let name = format!("{}.flattened_grn", of.name);
                softmax(&self.layers.gated_residual(&name, &inputs.concat(), context))
            }
        };
        let none = vec![0.0; self.architecture.hidden_size];
        let weighted = outputs.iter().zip(&weights).map(|(output, weight)| scaled(output, *weight));
        (weighted.fold(none, |sum, output| add(&sum, &output)), weights)
    }

    fn single(&self, of: &Selection<'_>, name: &str, index: usize, x: &[f64]) -> Vec<f64> {
        let network = format!("{}.{name}", of.singles);
        if index < of.categoricals.len() && !of.is_shared {
            self.layers.resample_norm(&network, x)
        } else {
            self.layers.gated_residual(&network, x, None)
        }
    }

    /// The row of a categorical's table, or the sum of the rows of a group's columns.
    fn embedding(&self, variable: &str, step: &Step) -> Vec<f64> {
        let table = format!("input_embeddings.embeddings.{variable}.weight");
        let column = |name: &str| self.architecture.x_categoricals.iter().position(|c| c == name).unwrap();
        let row = |name: &str| self.layers.tensors.row(&table, step.codes[column(name)]).to_vec();
        match self.architecture.categorical_groups.get(variable) {
            Some(columns) => columns.iter().map(|name| row(name)).reduce(|x, y| add(&x, &y)).unwrap(),
            None => row(variable),
        }
    }

    fn prescaled(&self, variable: &str, step: &Step) -> Vec<f64> {
        let column = self.architecture.x_reals.iter().position(|name| name == variable).unwrap();
        self.layers.linear(&format!("prescalers.{variable}"), &[step.reals[column]])
    }

    /// §4.5.1: both LSTMs with their gated skip connections.
    fn local_features(&self, selected: [&Steps; 2], lengths: [usize; 2], start: State) -> Steps {
        let (past, state) = self.lstm("lstm_encoder", selected[0], lengths[0], start);
        let (future, _) = self.lstm("lstm_decoder", selected[1], lengths[1], state);
        let skips = selected[0].iter().chain(selected[1]);
        let gated = |(x, skip): (&Vec<f64>, &Vec<f64>)| {
            let gated = self.layers.gated_linear("post_lstm_gate_encoder.fc", x);
            self.layers.norm("post_lstm_add_norm_encoder.norm", &add(&gated, skip))
        };
        past.iter().chain(&future).zip(skips).map(gated).collect()
    }

    /// Stops after the valid steps: the outputs are 0 from there on.
    fn lstm(&self, name: &str, x: &Steps, length: usize, mut state: State) -> (Steps, State) {
        let mut outputs = vec![vec![0.0; self.architecture.hidden_size]; x.len()];
        for (output, x) in outputs.iter_mut().zip(x).take(length) {
            let mut input = x.clone();
            for (layer, (hidden, cell)) in state.iter_mut().enumerate() {
                (*hidden, *cell) = self.layers.lstm_step(name, layer, &input, (hidden, cell));
                input.clone_from(hidden);
            }
            *output = input;
        }
        (outputs, state)
    }

    /// §4.4, eq. 13–15: each head's weights of one decoder step over all steps.
    fn attention(&self, x: &Steps, query: usize, lengths: [usize; 2], widths: [usize; 2]) -> Steps {
        let scores = |head: usize| -> Vec<f64> {
            let project = |part: &str, x: &[f64]| {
                self.layers.linear(&format!("multihead_attn.{part}_layers.{head}"), x)
            };
            let asking = project("q", &x[widths[0] + query]);
            let score = |key: usize| {
                if self.is_visible(query, key, lengths, widths[0]) {
                    dot(&asking, &project("k", &x[key])) / (asking.len() as f64).sqrt()
                } else {
                    f64::from(self.architecture.mask_bias)
                }
            };
            (0..x.len()).map(score).collect()
        };
        (0..self.architecture.attention_head_size).map(|head| softmax(&scores(head))).collect()
    }

    /// A decoder step sees the valid encoder steps and the decoder steps before it; all valid ones if the
    /// attention is not causal.
    fn is_visible(&self, query: usize, key: usize, lengths: [usize; 2], encoder_steps: usize) -> bool {
        if key < encoder_steps {
            return key < lengths[0];
        }
        let visible = if self.architecture.causal_attention { query } else { lengths[1] };
        key - encoder_steps < visible
    }

    /// §4.4, eq. 14–16, and §4.5.2–4.5.4: what one decoder step makes of its attention.
    fn fuse(&self, weights: &Steps, enriched: &Steps, temporal: &Steps, at: usize) -> Vec<f64> {
        let heads = weights.len() as f64;
        let mean = |key: usize| weights.iter().map(|head| head[key]).sum::<f64>() / heads;
        let value = |(key, x): (usize, &Vec<f64>)| {
            scaled(&self.layers.linear("multihead_attn.v_layer", x), mean(key))
        };
        let attended = enriched.iter().enumerate().map(value).reduce(|x, y| add(&x, &y)).unwrap();
        let attended = self.layers.linear("multihead_attn.w_h", &attended);
        let attended = self.layers.gate_norm("post_attn_gate_norm", &attended, &enriched[at]);
        let processed = self.layers.gated_residual("pos_wise_ff", &attended, None);
        self.layers.gate_norm("pre_output_gate_norm", &processed, &temporal[at])
    }

    /// §4.6: one linear layer per target.
    fn quantiles(&self, fused: &Steps) -> Vec<Steps> {
        let targets = self.architecture.targets();
        let name =
            |target| if targets == 1 { "output_layer".into() } else { format!("output_layer.{target}") };
        let of = |target| fused.iter().map(|x| self.layers.linear(&name(target), x)).collect();
        (0..targets).map(of).collect()
    }
}

/// One window's encoder and decoder steps; padded ones are all 0, as the reference pads them.
fn steps(batch: &TensorBatch, window: usize) -> (Vec<Step>, Vec<Step>) {
    let lengths = [batch.encoder_lengths[window], batch.decoder_lengths[window]];
    (
        side(&batch.encoder_reals, &batch.encoder_categoricals, window, lengths[0]),
        side(&batch.decoder_reals, &batch.decoder_categoricals, window, lengths[1]),
    )
}

fn side(reals: &Array3<f32>, categoricals: &Array3<u32>, window: usize, length: usize) -> Vec<Step> {
    let step = |step: usize| {
        let (reals, codes) = (reals.slice(s![window, step, ..]), categoricals.slice(s![window, step, ..]));
        let is_valid = step < length;
        Step {
            reals: reals.iter().map(|&value| if is_valid { f64::from(value) } else { 0.0 }).collect(),
            codes: codes.iter().map(|&code| if is_valid { code as usize } else { 0 }).collect(),
        }
    };
    (0..reals.dim().1).map(step).collect()
}

fn scaled(x: &[f64], factor: f64) -> Vec<f64> {
    x.iter().map(|value| value * factor).collect()
}
