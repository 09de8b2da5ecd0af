//! The Temporal Fusion Transformer as burn modules (Lim et al. 2021, arXiv 1912.09363, §4).
//!
//! Owns the meaning of a model: every other executor is compared with this one. The forward pass is that of
//! pytorch-forecasting, with its interpolated residuals, shared prescalers and decoder steps that do not
//! attend to themselves.

mod attention;
mod gated_residual;
mod loader;
mod lstm;
mod selection;

use burn::module::Module;
use burn::tensor::{Bool, Device, Int, Tensor, TensorData};
use ndarray::{Array2, Array3, Array4, Axis, s};

use self::attention::InterpretableAttention;
use self::gated_residual::{StackedGateNorm, StackedGatedResidual, StackedLinear};
use self::lstm::{Lstm, LstmState};
use self::selection::{SharedInputs, VariableSelection};
use super::architecture::Architecture;
use super::batch::{NetworkOutput, TensorBatch};
use super::weights::Weights;
use crate::error::{Error, ErrorKind};

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

/// A batch on the device, its encoder and decoder rows flattened.
struct Inputs {
    windows: usize,
    encoder: Rows,
    decoder: Rows,
}

/// The steps of one side, `[windows·steps, columns]`.
struct Rows {
    steps: usize,
    lengths: Vec<usize>,
    reals: Tensor<2>,
    categoricals: Tensor<2, Int>,
}

#[derive(Debug, thiserror::Error)]
#[error("the device did not return `{name}` of {values} values")]
struct ReadError {
    name: &'static str,
    values: usize,
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
    /// [`ErrorKind::InvalidInput`] if the batch does not fit the architecture.
    pub fn forward(&self, batch: &TensorBatch) -> Result<NetworkOutput, Error> {
        batch.validate(&self.architecture)?;
        if batch.windows() == 0 {
            return Ok(self.empty_output(batch));
        }
        let inputs = Inputs {
            windows: batch.windows(),
            encoder: self.rows(&batch.encoder_reals, &batch.encoder_categoricals, &batch.encoder_lengths),
            decoder: self.rows(&batch.decoder_reals, &batch.decoder_categoricals, &batch.decoder_lengths),
        };
        self.run(&inputs)
    }

    fn run(&self, inputs: &Inputs) -> Result<NetworkOutput, Error> {
        let (windows, modules) = (inputs.windows, &self.modules);
        let (summary, static_weights) = self.select_static(inputs);
        let context = |network: &StackedGatedResidual| -> Tensor<2> {
            network.forward(summary.clone().unsqueeze_dim(0)).squeeze_dim(0)
        };
        let selection_context = context(&modules.contexts.variable_selection);
        let select = |selection: &VariableSelection, rows: &Rows| {
            let context = Some(selection_context.clone());
            selection.forward(&modules.shared, &rows.reals, &rows.categoricals, context)
        };
        let (encoder, encoder_weights) = select(&modules.encoder_selection, &inputs.encoder);
        let (decoder, decoder_weights) = select(&modules.decoder_selection, &inputs.decoder);

        let initial = self.initial_state(
            context(&modules.contexts.initial_hidden),
            context(&modules.contexts.initial_cell),
        );
        let temporal = self.temporal_features(inputs, encoder, decoder, initial);
        let enrichment = context(&modules.contexts.enrichment);
        let (quantiles, attention) = self.decode(inputs, temporal, enrichment);

        let (encoder_steps, decoder_steps) = (inputs.encoder.steps, inputs.decoder.steps);
        let attention = to_array4("attention", attention)?;
        let by_step = attention.permuted_axes([0, 2, 1, 3]);
        Ok(NetworkOutput {
            targets: self.split_targets(&to_array3("prediction", quantiles)?),
            encoder_attention: by_step.slice(s![.., .., .., ..encoder_steps]).to_owned(),
            decoder_attention: by_step.slice(s![.., .., .., encoder_steps..]).to_owned(),
            static_weights: weights_to_array(static_weights, windows, 1)?.remove_axis(Axis(1)),
            encoder_weights: weights_to_array(encoder_weights, windows, encoder_steps)?,
            decoder_weights: weights_to_array(decoder_weights, windows, decoder_steps)?,
        })
    }

    /// The static selection sees each window's first encoder step.
    fn select_static(&self, inputs: &Inputs) -> (Tensor<2>, Option<Tensor<2>>) {
        let (windows, rows) = (inputs.windows, &inputs.encoder);
        let first: Vec<i32> = (0..windows).map(|window| (window * rows.steps) as i32).collect();
        let first = Tensor::<1, Int>::from_data(first.as_slice(), &self.device);
        let reals = rows.reals.clone().select(0, first.clone());
        let categoricals = rows.categoricals.clone().select(0, first);
        self.modules.static_selection.forward(&self.modules.shared, &reals, &categoricals, None)
    }

    fn initial_state(&self, hidden: Tensor<2>, cell: Tensor<2>) -> LstmState {
        let layers = self.architecture.lstm_layers;
        LstmState { hidden: vec![hidden; layers], cell: vec![cell; layers] }
    }

    /// Runs both LSTMs and their gated skip connections (§4.5.1): `[windows, T, H]`.
    fn temporal_features(
        &self,
        inputs: &Inputs,
        encoder: Tensor<2>,
        decoder: Tensor<2>,
        initial: LstmState,
    ) -> Tensor<3> {
        let modules = &self.modules;
        let (encoder_features, state) =
            self.recurrent(&modules.lstm_encoder, &inputs.encoder, encoder, initial);
        let (decoder_features, _) = self.recurrent(&modules.lstm_decoder, &inputs.decoder, decoder, state);
        Tensor::cat(vec![encoder_features, decoder_features], 1)
    }

    fn recurrent(
        &self,
        lstm: &Lstm,
        rows: &Rows,
        selected: Tensor<2>,
        state: LstmState,
    ) -> (Tensor<3>, LstmState) {
        let [count, width] = selected.dims();
        let windows = count / rows.steps;
        let by_step = selected.clone().reshape([windows, rows.steps, width]);
        let (output, state) = lstm.forward(by_step, state, self.valid_steps(rows).as_ref());
        let flat = output.reshape([1, count, width]);
        let gated = self.modules.post_lstm.forward(flat, selected.unsqueeze_dim(0));
        (gated.reshape([windows, rows.steps, width]), state)
    }

    /// Static enrichment, attention and the position-wise network (§4.5.2–4.5.4).
    fn decode(&self, inputs: &Inputs, temporal: Tensor<3>, enrichment: Tensor<2>) -> (Tensor<3>, Tensor<4>) {
        let modules = &self.modules;
        let [windows, steps, width] = temporal.dims();
        let queries = inputs.decoder.steps;
        let rows = windows * queries;
        let last = |x: Tensor<3>| x.narrow(1, steps - queries, queries).reshape([1, rows, width]);

        let flat = temporal.clone().reshape([1, windows * steps, width]);
        let enriched = modules.static_enrichment.forward_with_context(flat, enrichment);
        let enriched = enriched.reshape([windows, steps, width]);
        let (attended, weights) = modules.attention.forward(enriched.clone(), self.attention_mask(inputs));
        let attended = modules.post_attention.forward(attended.reshape([1, rows, width]), last(enriched));
        let processed = modules.position_wise.forward(attended);
        let processed = modules.pre_output.forward(processed, last(temporal));
        let quantiles = modules.output.forward(processed);
        let outputs = quantiles.dims()[2];
        (quantiles.reshape([windows, queries, outputs]), weights)
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

    /// Ones where a step is valid, `[windows, steps]`; none if all are.
    fn valid_steps(&self, rows: &Rows) -> Option<Tensor<2>> {
        if rows.lengths.iter().all(|&length| length == rows.steps) {
            return None;
        }
        let valid =
            |&length: &usize| (0..rows.steps).map(move |step| if step < length { 1.0f32 } else { 0.0 });
        let valid: Vec<f32> = rows.lengths.iter().flat_map(valid).collect();
        let shape = [rows.lengths.len(), rows.steps];
        Some(Tensor::from_data(TensorData::new(valid, shape), &self.device))
    }

    fn rows(&self, reals: &Array3<f32>, categoricals: &Array3<u32>, lengths: &[usize]) -> Rows {
        let (windows, steps, columns) = reals.dim();
        let codes: Vec<i32> = categoricals.iter().map(|&code| code as i32).collect();
        let values: Vec<f32> = zero_padded(reals, lengths);
        Rows {
            steps,
            lengths: lengths.to_vec(),
            reals: Tensor::from_data(TensorData::new(values, [windows * steps, columns]), &self.device),
            categoricals: Tensor::from_data(
                TensorData::new(codes, [windows * steps, categoricals.dim().2]),
                &self.device,
            ),
        }
    }

    fn split_targets(&self, quantiles: &Array3<f32>) -> Vec<Array3<f32>> {
        let mut start = 0;
        let mut targets = Vec::with_capacity(self.architecture.targets());
        for levels in &self.architecture.quantiles {
            targets.push(quantiles.slice(s![.., .., start..start + levels.len()]).to_owned());
            start += levels.len();
        }
        targets
    }

    fn empty_output(&self, batch: &TensorBatch) -> NetworkOutput {
        let (encoder, decoder) = (batch.encoder_steps(), batch.decoder_steps());
        let heads = self.architecture.attention_head_size;
        let [statics, encoders, decoders] = self.architecture.selections().map(|selection| selection.count());
        let levels = self.architecture.quantiles.iter();
        NetworkOutput {
            targets: levels.map(|levels| Array3::zeros((0, decoder, levels.len()))).collect(),
            encoder_attention: Array4::zeros((0, decoder, heads, encoder)),
            decoder_attention: Array4::zeros((0, decoder, heads, decoder)),
            static_weights: Array2::zeros((0, statics)),
            encoder_weights: Array3::zeros((0, encoder, encoders)),
            decoder_weights: Array3::zeros((0, decoder, decoders)),
        }
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::new(ErrorKind::Internal, error)
    }
}

/// Copies values row by row; what lies beyond a window's length becomes 0, whatever it was.
fn zero_padded(reals: &Array3<f32>, lengths: &[usize]) -> Vec<f32> {
    let value = |((window, step, _), &value): ((usize, usize, usize), &f32)| {
        if step < lengths[window] { value } else { 0.0 }
    };
    reals.indexed_iter().map(value).collect()
}

fn weights_to_array(weights: Option<Tensor<2>>, windows: usize, steps: usize) -> Result<Array3<f32>, Error> {
    let Some(weights) = weights else { return Ok(Array3::zeros((windows, steps, 0))) };
    let variables = weights.dims()[1];
    to_array3("selection weights", weights.reshape([windows, steps, variables]))
}

fn to_array3(name: &'static str, tensor: Tensor<3>) -> Result<Array3<f32>, Error> {
    let shape = tensor.dims();
    let values = shape.iter().product();
    let data = tensor.try_into_vec_as::<f32>().map_err(|_| ReadError { name, values })?;
    Array3::from_shape_vec(shape, data).map_err(|_| ReadError { name, values }.into())
}

fn to_array4(name: &'static str, tensor: Tensor<4>) -> Result<Array4<f32>, Error> {
    let shape = tensor.dims();
    let values = shape.iter().product();
    let data = tensor.try_into_vec_as::<f32>().map_err(|_| ReadError { name, values })?;
    Array4::from_shape_vec(shape, data).map_err(|_| ReadError { name, values }.into())
}
