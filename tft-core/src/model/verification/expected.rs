//! `expected.json`: recorded inputs of a network and what the reference computed for them.
//!
//! The export script writes it; `rows` owns its raw rows. Unknown fields are left alone: they are for people
//! and other programs.

use std::collections::BTreeMap;

use ndarray::{Array3, ArrayD, ArrayView1, Ix3};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::Verification;
use super::nested;
use super::rows::{ExpectedRows, RecordedRows};
use crate::error::{Error, ErrorKind};
use crate::model::{Architecture, CenterScale, TensorBatch};

/// A checked document; every array has the shape that the network gives.
pub(super) struct Expected {
    pub(super) batch: TensorBatch,
    /// `[targets][windows]`
    pub(super) target_scales: Vec<Vec<CenterScale>>,
    pub(super) outputs: ExpectedOutputs,
    pub(super) rows: Option<ExpectedRows>,
}

/// What the reference computed from the tensors.
pub(super) struct ExpectedOutputs {
    /// For each target `[windows, D, quantiles]`.
    pub(super) prediction: Vec<ArrayD<f64>>,
    /// For each target `[windows, D, quantiles]`.
    pub(super) network_output: Vec<ArrayD<f64>>,
    /// `[windows, D, heads, L]`; left out of the document where it would be long.
    pub(super) encoder_attention: Option<ArrayD<f64>>,
    /// `[windows, D, heads, D]`
    pub(super) decoder_attention: Option<ArrayD<f64>>,
    /// `[windows, variables]`
    pub(super) static_variables: ArrayD<f64>,
    /// `[windows, L, variables]`
    pub(super) encoder_variables: ArrayD<f64>,
    /// `[windows, D, variables]`
    pub(super) decoder_variables: ArrayD<f64>,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum ExpectedError {
    #[error("model `{id}` was not made with pytorch-forecasting, so there is nothing to compare it with")]
    Encoding { id: String },
    #[error("`{file}` does not hold expected outputs")]
    Unreadable { file: String, source: serde_json::Error },
    #[error("`{file}`: format_version is {found}, this version reads {}", Verification::FORMAT_VERSION)]
    FormatVersion { file: String, found: u32 },
    #[error("`{file}`: {field} {problem}")]
    Field { file: String, field: String, problem: String },
    #[error("`{file}`: the recorded inputs are not usable")]
    Inputs { file: String, source: Error },
    #[error("`{file}`: the recorded rows are not usable")]
    Rows { file: String, source: Error },
}

#[derive(Deserialize)]
struct Document<'a> {
    format_version: u32,
    #[serde(borrow)]
    inputs: BTreeMap<String, &'a RawValue>,
    #[serde(borrow)]
    outputs: BTreeMap<String, &'a RawValue>,
}

/// The fields of one object of the document.
struct Fields<'a> {
    file: &'a str,
    object: &'static str,
    texts: &'a BTreeMap<String, &'a RawValue>,
}

impl Expected {
    pub(super) fn parse(text: &[u8], file: &str, architecture: &Architecture) -> Result<Self, Error> {
        let unreadable = |source| ExpectedError::Unreadable { file: file.to_owned(), source };
        let document: Document<'_> = serde_json::from_slice(text).map_err(unreadable)?;
        if document.format_version != Verification::FORMAT_VERSION {
            let found = document.format_version;
            return Err(ExpectedError::FormatVersion { file: file.to_owned(), found }.into());
        }
        // A pass of its own: raw values cannot be flattened into the document.
        let rows: RecordedRows<'_> = serde_json::from_slice(text).map_err(unreadable)?;
        let inputs = Fields { file, object: "inputs", texts: &document.inputs };
        let outputs = Fields { file, object: "outputs", texts: &document.outputs };
        let batch = inputs.batch(architecture)?;
        Ok(Self {
            target_scales: inputs.target_scales(architecture, batch.windows())?,
            outputs: outputs.outputs(architecture, &batch)?,
            rows: rows.check(file, architecture)?,
            batch,
        })
    }
}

impl Fields<'_> {
    fn batch(&self, architecture: &Architecture) -> Result<TensorBatch, Error> {
        let lengths = |name: &str, windows: Option<usize>| -> Result<Vec<usize>, Error> {
            let lengths = self.array(name, &[windows])?;
            lengths.iter().map(|&length| self.whole(name, length).map(|length| length as usize)).collect()
        };
        let encoder_lengths = lengths("encoder_lengths", None)?;
        let windows = Some(encoder_lengths.len());
        if encoder_lengths.is_empty() {
            return Err(self.error("encoder_lengths", "has no windows".to_owned()));
        }
        let (reals, categoricals) =
            (Some(architecture.x_reals.len()), Some(architecture.x_categoricals.len()));
        let encoder = self.array3("encoder_cont", [windows, None, reals])?;
        let decoder = self.array3("decoder_cont", [windows, None, reals])?;
        let (encoder_steps, decoder_steps) = (Some(encoder.dim().1), Some(decoder.dim().1));
        Ok(TensorBatch {
            encoder_categoricals: self.codes("encoder_cat", [windows, encoder_steps, categoricals])?,
            decoder_categoricals: self.codes("decoder_cat", [windows, decoder_steps, categoricals])?,
            encoder_reals: encoder.mapv(|value| value as f32),
            decoder_reals: decoder.mapv(|value| value as f32),
            decoder_lengths: lengths("decoder_lengths", windows)?,
            encoder_lengths,
        })
    }

    fn target_scales(
        &self,
        architecture: &Architecture,
        windows: usize,
    ) -> Result<Vec<Vec<CenterScale>>, Error> {
        let shape = [Some(architecture.targets()), Some(windows), Some(2)];
        let scales = self.array3("target_scale", shape)?;
        let to_scale = |pair: ArrayView1<'_, f64>| CenterScale { center: pair[0], scale: pair[1] };
        Ok(scales.outer_iter().map(|target| target.outer_iter().map(to_scale).collect()).collect())
    }

    fn outputs(&self, architecture: &Architecture, batch: &TensorBatch) -> Result<ExpectedOutputs, Error> {
        let [windows, encoder, decoder] =
            [batch.windows(), batch.encoder_steps(), batch.decoder_steps()].map(Some);
        let heads = Some(architecture.attention_head_size);
        let [statics, past, future] = architecture.selections().map(|selection| Some(selection.count()));
        let targets = |name: &str| {
            let parts = by_target(self.required(name)?, architecture, [windows, decoder]);
            parts.map_err(|problem| self.error(name, problem))
        };
        let attention = |name: &str, keys| {
            let is_recorded = self.texts.contains_key(name);
            is_recorded.then(|| self.array(name, &[windows, decoder, heads, keys])).transpose()
        };
        Ok(ExpectedOutputs {
            prediction: targets("prediction")?,
            network_output: targets("network_output")?,
            encoder_attention: attention("encoder_attention", encoder)?,
            decoder_attention: attention("decoder_attention", decoder)?,
            static_variables: self.array("static_variables", &[windows, statics])?,
            encoder_variables: self.array("encoder_variables", &[windows, encoder, past])?,
            decoder_variables: self.array("decoder_variables", &[windows, decoder, future])?,
        })
    }

    fn codes(&self, name: &str, shape: [Option<usize>; 3]) -> Result<Array3<u32>, Error> {
        let numbers = self.array3(name, shape)?;
        let codes = numbers.iter().map(|&number| self.whole(name, number)).collect::<Result<Vec<_>, _>>()?;
        Array3::from_shape_vec(numbers.dim(), codes).map_err(|error| self.error(name, error.to_string()))
    }

    fn array3(&self, name: &str, shape: [Option<usize>; 3]) -> Result<Array3<f64>, Error> {
        let array = self.array(name, &shape)?;
        array.into_dimensionality::<Ix3>().map_err(|error| self.error(name, error.to_string()))
    }

    fn array(&self, name: &str, shape: &[Option<usize>]) -> Result<ArrayD<f64>, Error> {
        nested::array(self.required(name)?, shape).map_err(|problem| self.error(name, problem))
    }

    fn required(&self, name: &str) -> Result<&RawValue, Error> {
        self.texts.get(name).copied().ok_or_else(|| self.error(name, "is missing".to_owned()))
    }

    fn whole(&self, name: &str, number: f64) -> Result<u32, Error> {
        if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) {
            return Ok(number as u32);
        }
        Err(self.error(name, format!("holds {number}, expected whole numbers from 0")))
    }

    fn error(&self, name: &str, problem: String) -> Error {
        field_error(self.file, &format!("{}.{name}", self.object), problem)
    }
}

impl From<ExpectedError> for Error {
    fn from(error: ExpectedError) -> Self {
        Self::new(ErrorKind::InvalidModel, error)
    }
}

pub(super) fn field_error(file: &str, field: &str, problem: String) -> Error {
    ExpectedError::Field { file: file.to_owned(), field: field.to_owned(), problem }.into()
}

/// Reads a list of one array `[windows, D, quantiles]` per target; what is wrong is a clause.
pub(super) fn by_target(
    text: &RawValue,
    architecture: &Architecture,
    [windows, steps]: [Option<usize>; 2],
) -> Result<Vec<ArrayD<f64>>, String> {
    let parts: Vec<&RawValue> = serde_json::from_str(text.get())
        .map_err(|error| format!("is not a list: {}", nested::reason(&error)))?;
    let (found, expected) = (parts.len(), architecture.targets());
    if found != expected {
        return Err(format!("has {found} targets, expected {expected}"));
    }
    let parts = parts.into_iter().zip(&architecture.quantiles).enumerate();
    let read = |(target, (part, levels)): (usize, (&RawValue, &Vec<f64>))| {
        nested::array(part, &[windows, steps, Some(levels.len())])
            .map_err(|problem| format!("of target {target} {problem}"))
    };
    parts.map(read).collect()
}
