//! The Temporal Fusion Transformer as burn modules (Lim et al. 2021, arXiv 1912.09363, §4).
//!
//! Owns the meaning of a model: every other executor is compared with this one. The forward pass is that of
//! pytorch-forecasting, with its interpolated residuals, shared prescalers and decoder steps that do not
//! attend to themselves.

mod attention;
mod gated_residual;
mod inputs;
mod loader;
mod lstm;
mod output;
mod selection;
#[cfg(test)]
mod tests;

use burn::module::Module;
use burn::tensor::{Bool, Device, Tensor, TensorData};

use self::attention::InterpretableAttention;
use self::gated_residual::{StackedGateNorm, StackedGatedResidual, StackedLinear};
use self::inputs::{Inputs, Rows, SharedInputs};
use self::lstm::{Lstm, LstmState};
use self::output::Readings;
use self::selection::{Selected, VariableSelection};
use super::architecture::Architecture;
use super::batch::{NetworkOutput, TensorBatch};
use super::weights::Weights;
use crate::error::Error;

/// A Temporal Fusion Transformer with its weights on a device.
#[derive(Debug)]
pub struct Network {
    architecture: Architecture,
    modules: Modules,
    device: Device,
}

#[derive(Module, Debug)]
struct Modules {
    shared: SharedInputs,
    static_selection: VariableSelection,
    encoder_selection: VariableSelection,
    decoder_selection: VariableSelection,
    contexts: StaticContexts,
    lstm_encoder: Lstm,
    lstm_decoder: Lstm,
    /// Shared by the encoder and the decoder, as in the reference.
    post_lstm: StackedGateNorm,
    static_enrichment: StackedGatedResidual,
    attention: InterpretableAttention,
    post_attention: StackedGateNorm,
    position_wise: StackedGatedResidual,
    pre_output: StackedGateNorm,
    /// The output layers of all targets side by side.
    output: StackedLinear,
}

/// The four context vectors that condition the network on the static variables (§4.3).
#[derive(Module, Debug)]
struct StaticContexts {
    variable_selection: StackedGatedResidual,
    initial_hidden: StackedGatedResidual,
    initial_cell: StackedGatedResidual,
    enrichment: StackedGatedResidual,
}

/// What a window's static variables tell the rest of the network, `[windows, H]` each.
struct Contexts {
    variable_selection: Tensor<2>,
    initial_hidden: Tensor<2>,
    initial_cell: Tensor<2>,
    enrichment: Tensor<2>,
}

/// Returns the device on which models run unless told otherwise.
///
/// The one place that names the backend.
pub fn default_device() -> Device {
    #[expect(deprecated, reason = "burn-ndarray is the backend that this version of the crate is bound to")]
    Device::ndarray()
}

impl Network {
    pub(crate) fn new(architecture: &Architecture, weights: &Weights, device: &Device) -> Self {
        let modules = loader::load(architecture, weights, device);
        Self { architecture: architecture.clone(), modules, device: device.clone() }
    }

    /// Runs the network.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) if the batch does not fit the architecture.
    pub fn forward(&self, batch: &TensorBatch) -> Result<NetworkOutput, Error> {
        batch.validate(&self.architecture)?;
        if batch.windows() == 0 {
            return Ok(output::empty(&self.architecture, batch));
        }
        let readings = self.run(&Inputs::new(batch, &self.device));
        readings.read(&self.architecture, batch.encoder_steps())
    }

    fn run(&self, inputs: &Inputs) -> Readings {
        let modules = &self.modules;
        let statics = modules.static_selection.forward(&modules.shared, &inputs.encoder.first_steps(), None);
        let contexts = modules.contexts.forward(&statics.mixture);
        let encoder = self.select(&modules.encoder_selection, &inputs.encoder, &contexts);
        let decoder = self.select(&modules.decoder_selection, &inputs.decoder, &contexts);
        let temporal = self.temporal_features(inputs, encoder.mixture, decoder.mixture, &contexts);
        let (fused, attention) = self.fuse(inputs, temporal, contexts.enrichment);
        Readings {
            quantiles: by_window(modules.output.forward(fused), inputs.windows),
            attention,
            static_weights: statics.weights,
            encoder_weights: encoder.weights,
            decoder_weights: decoder.weights,
        }
    }

    fn select(&self, selection: &VariableSelection, rows: &Rows, contexts: &Contexts) -> Selected {
        selection.forward(&self.modules.shared, rows, Some(contexts.variable_selection.clone()))
    }

    /// Runs both LSTMs and their gated skip connections (§4.5.1): `[windows, T, H]`.
    fn temporal_features(
        &self,
        inputs: &Inputs,
        history: Tensor<2>,
        future: Tensor<2>,
        contexts: &Contexts,
    ) -> Tensor<3> {
        let (modules, windows) = (&self.modules, inputs.windows);
        let gated = |recurrent: Tensor<3>, selected: Tensor<2>| {
            by_window(modules.post_lstm.forward(recurrent, selected.unsqueeze_dim(0)), windows)
        };
        let initial = contexts.initial_state(self.architecture.lstm_layers);
        let (past, state) = recur(&modules.lstm_encoder, &inputs.encoder, history.clone(), initial);
        let (ahead, _) = recur(&modules.lstm_decoder, &inputs.decoder, future.clone(), state);
        Tensor::cat(vec![gated(past, history), gated(ahead, future)], 1)
    }

    /// The temporal fusion decoder: static enrichment, attention and the position-wise network
    /// (§4.5.2–4.5.4). Returns `[1, windows·D, H]` and the attention weights.
    fn fuse(&self, inputs: &Inputs, temporal: Tensor<3>, enrichment: Tensor<2>) -> (Tensor<3>, Tensor<4>) {
        let modules = &self.modules;
        let steps = inputs.decoder.steps;
        let enriched = modules.static_enrichment.forward_with_context(by_row(temporal.clone()), enrichment);
        let enriched = by_window(enriched, inputs.windows);
        let mask = self.attention_mask(inputs);
        let (attended, attention) = modules.attention.forward(enriched.clone(), mask);
        let attended = modules.post_attention.forward(by_row(attended), last_steps(enriched, steps));
        let processed = modules.position_wise.forward(attended);
        (modules.pre_output.forward(processed, last_steps(temporal, steps)), attention)
    }

    /// True where a decoder step must not look, `[windows, D, T]`: padded encoder steps, and its own and
    /// later decoder steps (or only padded ones if the attention is not causal).
    fn attention_mask(&self, inputs: &Inputs) -> Tensor<3, Bool> {
        let (encoder, decoder) = (&inputs.encoder, &inputs.decoder);
        let mut is_masked =
            Vec::with_capacity(inputs.windows * decoder.steps * (encoder.steps + decoder.steps));
        for (&encoder_length, &decoder_length) in encoder.lengths.iter().zip(&decoder.lengths) {
            for query in 0..decoder.steps {
                let visible = if self.architecture.causal_attention { query } else { decoder_length };
                is_masked.extend((0..encoder.steps).map(|key| key >= encoder_length));
                is_masked.extend((0..decoder.steps).map(|key| key >= visible));
            }
        }
        let shape = [inputs.windows, decoder.steps, encoder.steps + decoder.steps];
        Tensor::from_data(TensorData::new(is_masked, shape), &self.device)
    }
}

impl StaticContexts {
    /// Derives the context vectors from the static variables' mixture `[windows, H]`.
    fn forward(&self, statics: &Tensor<2>) -> Contexts {
        let context = |network: &StackedGatedResidual| -> Tensor<2> {
            network.forward(statics.clone().unsqueeze_dim(0)).squeeze_dim(0)
        };
        Contexts {
            variable_selection: context(&self.variable_selection),
            initial_hidden: context(&self.initial_hidden),
            initial_cell: context(&self.initial_cell),
            enrichment: context(&self.enrichment),
        }
    }
}

impl Contexts {
    /// Every LSTM layer starts alike.
    fn initial_state(&self, layers: usize) -> LstmState {
        LstmState {
            hidden: vec![self.initial_hidden.clone(); layers],
            cell: vec![self.initial_cell.clone(); layers],
        }
    }
}

/// Runs an LSTM over one side's rows `[rows, H]`; the outputs are `[1, rows, H]`.
fn recur(lstm: &Lstm, rows: &Rows, selected: Tensor<2>, state: LstmState) -> (Tensor<3>, LstmState) {
    let x = by_window(selected.unsqueeze_dim(0), rows.lengths.len());
    let (output, state) = lstm.forward(x, state, rows.valid_steps().as_ref());
    (by_row(output), state)
}

/// `[windows, steps, width]` to `[1, windows·steps, width]`.
fn by_row(x: Tensor<3>) -> Tensor<3> {
    let [windows, steps, width] = x.dims();
    x.reshape([1, windows * steps, width])
}

/// `[1, windows·steps, width]` to `[windows, steps, width]`.
fn by_window(x: Tensor<3>, windows: usize) -> Tensor<3> {
    let [_, rows, width] = x.dims();
    x.reshape([windows, rows / windows, width])
}

/// The last steps of `[windows, T, width]` as `[1, windows·steps, width]`.
fn last_steps(x: Tensor<3>, steps: usize) -> Tensor<3> {
    let all = x.dims()[1];
    by_row(x.narrow(1, all - steps, steps))
}
