//! What the network has answered, read back from the device.

use burn::tensor::Tensor;
use ndarray::{Array2, Array3, Array4, Axis, s};

use crate::error::{Error, ErrorKind};
use crate::model::architecture::Architecture;
use crate::model::batch::{NetworkOutput, TensorBatch};

/// The network's answers, still on the device.
pub(super) struct Readings {
    /// The quantiles of all targets side by side, `[windows, D, quantiles]`.
    pub(super) quantiles: Tensor<3>,
    /// `[windows, heads, D, T]`
    pub(super) attention: Tensor<4>,
    /// `[windows, variables]`; none without variables, as the following two.
    pub(super) static_weights: Option<Tensor<2>>,
    /// `[windows·L, variables]`
    pub(super) encoder_weights: Option<Tensor<2>>,
    /// `[windows·D, variables]`
    pub(super) decoder_weights: Option<Tensor<2>>,
}

#[derive(Debug, thiserror::Error)]
#[error("the device did not return `{name}` of {values} values")]
struct ReadError {
    name: &'static str,
    values: usize,
}

impl Readings {
    /// Copies the answers into arrays.
    ///
    /// # Errors
    /// [`ErrorKind::Internal`] if the device does not return them.
    pub(super) fn read(
        self,
        architecture: &Architecture,
        encoder_steps: usize,
    ) -> Result<NetworkOutput, Error> {
        let quantiles = to_array3("prediction", self.quantiles)?;
        let (windows, decoder_steps, _) = quantiles.dim();
        let attention = to_array4("attention", self.attention)?.permuted_axes([0, 2, 1, 3]);
        Ok(NetworkOutput {
            targets: split_targets(&quantiles, architecture),
            encoder_attention: attention.slice(s![.., .., .., ..encoder_steps]).to_owned(),
            decoder_attention: attention.slice(s![.., .., .., encoder_steps..]).to_owned(),
            static_weights: weights_to_array(self.static_weights, windows, 1)?.remove_axis(Axis(1)),
            encoder_weights: weights_to_array(self.encoder_weights, windows, encoder_steps)?,
            decoder_weights: weights_to_array(self.decoder_weights, windows, decoder_steps)?,
        })
    }
}

impl From<ReadError> for Error {
    fn from(error: ReadError) -> Self {
        Self::new(ErrorKind::Internal, error)
    }
}

/// The answer to a batch without windows.
pub(super) fn empty(architecture: &Architecture, batch: &TensorBatch) -> NetworkOutput {
    let (encoder, decoder) = (batch.encoder_steps(), batch.decoder_steps());
    let heads = architecture.attention_head_size;
    let [statics, encoders, decoders] = architecture.selections().map(|selection| selection.count());
    let levels = architecture.quantiles.iter();
    NetworkOutput {
        targets: levels.map(|levels| Array3::zeros((0, decoder, levels.len()))).collect(),
        encoder_attention: Array4::zeros((0, decoder, heads, encoder)),
        decoder_attention: Array4::zeros((0, decoder, heads, decoder)),
        static_weights: Array2::zeros((0, statics)),
        encoder_weights: Array3::zeros((0, encoder, encoders)),
        decoder_weights: Array3::zeros((0, decoder, decoders)),
    }
}

fn split_targets(quantiles: &Array3<f32>, architecture: &Architecture) -> Vec<Array3<f32>> {
    let ends = architecture.quantiles.iter().scan(0, |end, levels| {
        *end += levels.len();
        Some((*end - levels.len(), *end))
    });
    ends.map(|(start, end)| quantiles.slice(s![.., .., start..end]).to_owned()).collect()
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
