//! The tensors of a batch, from a safetensors file.

use std::ops::Range;
use std::path::Path;

use ndarray::{Array1, Array3, ArrayD, Axis, Ix3, IxDyn, s};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tft_core::model::{Architecture, CenterScale, TensorBatch};

use crate::{Failure, named};

/// Encoded windows and what scales their outputs back.
pub(crate) struct Inputs {
    pub(crate) batch: TensorBatch,
    /// `[targets][windows]`
    target_scales: Vec<Vec<CenterScale>>,
}

impl Inputs {
    /// Reads a file and checks that its tensors fit the network.
    pub(crate) fn read(path: &Path, architecture: &Architecture) -> Result<Self, Failure> {
        let bytes = std::fs::read(path).map_err(|error| named(path, &error))?;
        let file = SafeTensors::deserialize(&bytes).map_err(|error| named(path, &error))?;
        let inputs = Self::from_tensors(&file, architecture).map_err(|error| named(path, &error))?;
        inputs.batch.validate(architecture)?;
        Ok(inputs)
    }

    fn from_tensors(file: &SafeTensors<'_>, architecture: &Architecture) -> Result<Self, String> {
        let lengths = |name| -> Result<Vec<usize>, String> {
            Ok(whole(file, name)?.iter().map(|&n| n as usize).collect())
        };
        let batch = TensorBatch {
            encoder_reals: array3("encoder_cont", reals(file, "encoder_cont")?)?,
            encoder_categoricals: array3("encoder_cat", whole(file, "encoder_cat")?)?,
            decoder_reals: array3("decoder_cont", reals(file, "decoder_cont")?)?,
            decoder_categoricals: array3("decoder_cat", whole(file, "decoder_cat")?)?,
            encoder_lengths: lengths("encoder_lengths")?,
            decoder_lengths: lengths("decoder_lengths")?,
        };
        let shape = [architecture.targets(), batch.windows(), 2];
        Ok(Self { target_scales: target_scales(file, shape)?, batch })
    }

    /// Copies some windows.
    pub(crate) fn block(&self, windows: Range<usize>) -> TensorBatch {
        let all = &self.batch;
        TensorBatch {
            encoder_reals: all.encoder_reals.slice(s![windows.clone(), .., ..]).to_owned(),
            encoder_categoricals: all.encoder_categoricals.slice(s![windows.clone(), .., ..]).to_owned(),
            decoder_reals: all.decoder_reals.slice(s![windows.clone(), .., ..]).to_owned(),
            decoder_categoricals: all.decoder_categoricals.slice(s![windows.clone(), .., ..]).to_owned(),
            encoder_lengths: all.encoder_lengths[windows.clone()].to_vec(),
            decoder_lengths: all.decoder_lengths[windows].to_vec(),
        }
    }

    /// Copies the scales of some windows, `[targets][windows]`.
    pub(crate) fn scales(&self, windows: Range<usize>) -> Vec<Vec<CenterScale>> {
        self.target_scales.iter().map(|target| target[windows.clone()].to_vec()).collect()
    }
}

/// Reads `[targets, windows, 2]`, or `[windows, 2]` where there is one target.
fn target_scales(file: &SafeTensors<'_>, shape: [usize; 3]) -> Result<Vec<Vec<CenterScale>>, String> {
    let mut scales = doubles(file, "target_scale")?;
    if scales.ndim() == 2 {
        scales.insert_axis_inplace(Axis(0));
    }
    if scales.shape() != shape {
        return Err(format!("`target_scale` has shape {:?}, expected {shape:?}", scales.shape()));
    }
    let to_scale = |pair: &[f64]| CenterScale { center: pair[0], scale: pair[1] };
    let pairs: Vec<f64> = scales.iter().copied().collect();
    let mut of_windows = pairs.chunks_exact(2).map(to_scale);
    Ok((0..shape[0]).map(|_| of_windows.by_ref().take(shape[1]).collect()).collect())
}

fn array3<T>(name: &str, array: ArrayD<T>) -> Result<Array3<T>, String> {
    let shape = array.shape().to_vec();
    array.into_dimensionality::<Ix3>().map_err(|_| format!("`{name}` has shape {shape:?}, expected 3 axes"))
}

/// Reads numbers of single precision.
fn reals(file: &SafeTensors<'_>, name: &str) -> Result<ArrayD<f32>, String> {
    let tensor = tensor(file, name)?;
    match tensor.dtype() {
        Dtype::F32 => shaped(name, &tensor, |bytes| f32::from_le_bytes(*bytes)),
        other => Err(format!("`{name}` is of type {other:?}, expected F32")),
    }
}

/// Reads class codes or lengths.
fn whole(file: &SafeTensors<'_>, name: &str) -> Result<ArrayD<u32>, String> {
    let tensor = tensor(file, name)?;
    let numbers: ArrayD<i64> = match tensor.dtype() {
        Dtype::I64 => shaped(name, &tensor, |bytes| i64::from_le_bytes(*bytes))?,
        other => return Err(format!("`{name}` is of type {other:?}, expected I64")),
    };
    match numbers.iter().find(|&&number| u32::try_from(number).is_err()) {
        Some(number) => Err(format!("`{name}` holds {number}, expected 0 to {}", u32::MAX)),
        None => Ok(numbers.mapv(|number| number as u32)),
    }
}

fn doubles(file: &SafeTensors<'_>, name: &str) -> Result<ArrayD<f64>, String> {
    let tensor = tensor(file, name)?;
    match tensor.dtype() {
        Dtype::F32 => shaped(name, &tensor, |bytes| f64::from(f32::from_le_bytes(*bytes))),
        Dtype::F64 => shaped(name, &tensor, |bytes| f64::from_le_bytes(*bytes)),
        other => Err(format!("`{name}` is of type {other:?}, expected F32 or F64")),
    }
}

fn tensor<'a>(file: &SafeTensors<'a>, name: &str) -> Result<TensorView<'a>, String> {
    file.tensor(name).map_err(|_| format!("tensor `{name}` is missing"))
}

fn shaped<const BYTES: usize, T>(
    name: &str,
    tensor: &TensorView<'_>,
    number: impl Fn(&[u8; BYTES]) -> T,
) -> Result<ArrayD<T>, String> {
    let values: Array1<T> = tensor.data().as_chunks::<BYTES>().0.iter().map(number).collect();
    let shaped = values.into_shape_with_order(IxDyn(tensor.shape()));
    shaped.map_err(|error| format!("`{name}`: {error}"))
}
