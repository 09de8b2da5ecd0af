//! What the network answers, as a safetensors file that is written block by block.
//!
//! The sizes of all tensors are known before the first block, so the header is written first, and each block
//! goes to its place.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use ndarray::{Array3, ArrayBase, Data, Dimension};
use serde_json::{Map, json};
use tft_core::engine::Detail;
use tft_core::model::{Architecture, NetworkOutput, TensorBatch};

use crate::{Failure, named};

/// A safetensors file of single-precision tensors.
pub(crate) struct OutputFile {
    path: PathBuf,
    file: Mutex<File>,
    tensors: Vec<Tensor>,
    /// Whether the targets' quantiles are one tensor `[targets, windows, D, quantiles]`.
    is_stacked: bool,
    windows: usize,
    detail: Detail,
}

/// A tensor's place in the file.
struct Tensor {
    name: String,
    shape: Vec<usize>,
    /// Bytes before its first number.
    offset: u64,
}

impl OutputFile {
    /// Creates a file for the answers to a batch.
    pub(crate) fn create(
        path: &Path,
        architecture: &Architecture,
        batch: &TensorBatch,
        detail: Detail,
    ) -> Result<Self, Failure> {
        let quantiles: Vec<usize> = architecture.quantiles.iter().map(Vec::len).collect();
        let is_stacked = quantiles.iter().all(|&count| count == quantiles[0]);
        let mut tensors: Vec<_> = shapes(architecture, batch, is_stacked.then_some(&quantiles))
            .into_iter()
            .filter(|(name, _)| detail == Detail::Explained || is_prediction(name))
            .map(|(name, shape)| Tensor { name, shape, offset: 0 })
            .collect();
        let header = header(&mut tensors);
        let mut file = File::create(path).map_err(|error| named(path, &error))?;
        file.write_all(&header).map_err(|error| named(path, &error))?;
        let (path, windows) = (path.to_owned(), batch.windows());
        Ok(Self { path, file: Mutex::new(file), tensors, is_stacked, windows, detail })
    }

    /// Writes the answers to a block that starts at a window.
    pub(crate) fn write(
        &self,
        window: usize,
        output: &NetworkOutput,
        predictions: &[Array3<f32>],
    ) -> Result<(), Failure> {
        self.write_targets("prediction", window, predictions)?;
        self.write_targets("network_output", window, &output.targets)?;
        if self.detail == Detail::Predictions {
            return Ok(());
        }
        self.write_windows("encoder_attention", window, &output.encoder_attention)?;
        self.write_windows("decoder_attention", window, &output.decoder_attention)?;
        self.write_windows("static_variables", window, &output.static_weights)?;
        self.write_windows("encoder_variables", window, &output.encoder_weights)?;
        self.write_windows("decoder_variables", window, &output.decoder_weights)
    }

    fn write_targets(&self, name: &str, window: usize, targets: &[Array3<f32>]) -> Result<(), Failure> {
        for (target, values) in targets.iter().enumerate() {
            if self.is_stacked {
                self.write_windows(name, target * self.windows + window, values)?;
            } else {
                self.write_windows(&format!("{name}.{target}"), window, values)?;
            }
        }
        Ok(())
    }

    /// Writes windows to their place among all windows of a tensor.
    fn write_windows<S, D>(&self, name: &str, window: usize, values: &ArrayBase<S, D>) -> Result<(), Failure>
    where
        S: Data<Elem = f32>,
        D: Dimension,
    {
        let tensor = self.tensors.iter().find(|tensor| tensor.name == name);
        let tensor = tensor.ok_or_else(|| format!("tensor `{name}` has no place in the output"))?;
        let numbers_before = window * values.len() / values.shape()[0].max(1);
        let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let place = SeekFrom::Start(tensor.offset + 4 * numbers_before as u64);
        file.seek(place).and_then(|_| file.write_all(&bytes)).map_err(|error| named(&self.path, &error))
    }
}

fn is_prediction(tensor: &str) -> bool {
    ["prediction", "network_output"].iter().any(|name| tensor.starts_with(name))
}

/// Returns the name and shape of every tensor, as the reference has them.
fn shapes(
    architecture: &Architecture,
    batch: &TensorBatch,
    stacked: Option<&Vec<usize>>,
) -> Vec<(String, Vec<usize>)> {
    let (windows, encoder, decoder) = (batch.windows(), batch.encoder_steps(), batch.decoder_steps());
    let heads = architecture.attention_head_size;
    let mut shapes = Vec::new();
    for name in ["prediction", "network_output"] {
        if let Some(counts) = stacked {
            shapes.push((name.to_owned(), vec![counts.len(), windows, decoder, counts[0]]));
            continue;
        }
        for (target, levels) in architecture.quantiles.iter().enumerate() {
            shapes.push((format!("{name}.{target}"), vec![windows, decoder, levels.len()]));
        }
    }
    let Architecture { static_categoricals, static_reals, .. } = architecture;
    let statics = static_categoricals.len() + static_reals.len();
    let Architecture { time_varying_categoricals_encoder, time_varying_reals_encoder, .. } = architecture;
    let past = time_varying_categoricals_encoder.len() + time_varying_reals_encoder.len();
    let Architecture { time_varying_categoricals_decoder, time_varying_reals_decoder, .. } = architecture;
    let future = time_varying_categoricals_decoder.len() + time_varying_reals_decoder.len();
    // Without static variables the reference has no axis for them.
    let static_shape = if statics == 0 { vec![windows, 0] } else { vec![windows, 1, statics] };
    let weights = [
        ("encoder_attention", vec![windows, decoder, heads, encoder]),
        ("decoder_attention", vec![windows, decoder, heads, decoder]),
        ("static_variables", static_shape),
        ("encoder_variables", vec![windows, encoder, 1, past]),
        ("decoder_variables", vec![windows, decoder, 1, future]),
    ];
    shapes.extend(weights.map(|(name, shape)| (name.to_owned(), shape)));
    shapes
}

/// Gives every tensor its place and returns the bytes before the first: the header's length, and the header.
fn header(tensors: &mut [Tensor]) -> Vec<u8> {
    let mut entries = Map::new();
    let mut end = 0u64;
    for tensor in &mut *tensors {
        tensor.offset = end;
        end += 4 * tensor.shape.iter().product::<usize>() as u64;
        let entry = json!({ "dtype": "F32", "shape": tensor.shape, "data_offsets": [tensor.offset, end] });
        entries.insert(tensor.name.clone(), entry);
    }
    let mut text = serde_json::Value::Object(entries).to_string();
    text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));
    let header = [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    for tensor in tensors {
        tensor.offset += header.len() as u64;
    }
    header
}
