//! The proof that a model computes here what it computed where it was trained.
//!
//! Owns the comparison of a model's outputs with those that were recorded in `expected.json` beside it.
//! `executor` owns what computes, `expected` and `rows` the document, `difference` the measure.

mod difference;
mod executor;
mod expected;
mod nested;
mod rows;

use std::path::Path;

use ndarray::{Array3, ArrayD, IxDyn};

pub use self::difference::{OutputDifference, Tolerance};
pub use self::executor::Executor;
use self::expected::{Expected, ExpectedError};
use self::rows::ExpectedRows;
use super::{DatasetEncoding, Encoding, Model, NetworkOutput, TensorBatch, read_file};
use crate::error::Error;

/// How far a model's outputs are from those that pytorch-forecasting recorded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Verification {
    /// How many recorded windows were run from their tensors.
    pub windows: usize,
    /// How many windows were encoded from raw rows; none if no rows are recorded.
    pub windows_from_rows: usize,
    /// Every recorded output of every [`Executor`], those of one after those of the other. Padded steps are not
    /// compared.
    ///
    /// `prediction` and `network_output` are over all targets, `row_predictions` are the predictions from
    /// raw rows, the others have the names of the reference.
    pub outputs: Vec<OutputDifference>,
}

impl Verification {
    /// The file of recorded inputs and outputs beside a model.
    pub const EXPECTED_FILE: &str = "expected.json";
    /// Largest `expected.json`, in bytes.
    pub const FILE_BYTES_MAX: u64 = 64 << 20;
    /// The version of `expected.json` that this crate reads.
    pub const FORMAT_VERSION: u32 = 1;

    /// Loads a model directory and compares the model with the `expected.json` in it.
    ///
    /// # Errors
    /// Those of [`Model::from_dir`] and [`of`](Self::of); [`ErrorKind::Io`](crate::ErrorKind::Io) if
    /// `expected.json` cannot be read, [`ErrorKind::LimitExceeded`](crate::ErrorKind::LimitExceeded) if it
    /// is larger than [`FILE_BYTES_MAX`](Self::FILE_BYTES_MAX).
    pub fn of_dir(directory: impl AsRef<Path>) -> Result<Self, Error> {
        let path = directory.as_ref().join(Self::EXPECTED_FILE);
        let model = Model::from_dir(directory)?;
        let text = read_file(&path, Self::FILE_BYTES_MAX)?;
        Self::of(&model, &text, &path.display().to_string())
    }

    /// Compares a model with the text of an `expected.json`; `file` names it in errors.
    ///
    /// Outputs that differ are no error: see [`is_within_tolerance`](Self::is_within_tolerance).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`](crate::ErrorKind::InvalidModel) naming the field that is missing, of a
    /// wrong shape or unusable, or if the model is not one of pytorch-forecasting.
    pub fn of(model: &Model, text: &[u8], file: &str) -> Result<Self, Error> {
        let document = model.document();
        let Encoding::PytorchForecasting(encoding) = &document.encoding else {
            return Err(ExpectedError::Encoding { id: document.id.clone() }.into());
        };
        let expected = Expected::parse(text, file, &document.architecture)?;
        let encoded = expected.rows.as_ref().map(|rows| rows.encode(encoding, file)).transpose()?;
        let mut outputs = Vec::new();
        for &executor in Executor::ALL {
            let network = executor.prepare(model)?;
            let run = |batch: &TensorBatch| {
                network.run(batch).map_err(|source| ExpectedError::Inputs { file: file.to_owned(), source })
            };
            outputs.extend(compare(executor, &run(&expected.batch)?, &expected, encoding)?);
            if let (Some(rows), Some(encoded)) = (&expected.rows, &encoded) {
                let predictions = encoded.predictions(&run(&encoded.batch)?)?;
                outputs.push(compare_rows(executor, &predictions, rows));
            }
        }
        let windows_from_rows = encoded.map_or(0, |encoded| encoded.batch.windows());
        Ok(Self { windows: expected.batch.windows(), windows_from_rows, outputs })
    }

    /// Returns whether every output of every executor is as near to the recorded one as the crate's numeric
    /// contract says.
    pub fn is_within_tolerance(&self) -> bool {
        self.outputs.iter().all(OutputDifference::is_within_tolerance)
    }
}

/// Compares what was computed from the recorded tensors.
fn compare(
    executor: Executor,
    output: &NetworkOutput,
    expected: &Expected,
    encoding: &DatasetEncoding,
) -> Result<Vec<OutputDifference>, Error> {
    let predictions = output.predictions(encoding, &expected.target_scales)?;
    let lengths = &expected.batch.decoder_lengths;
    let recorded = &expected.outputs;
    let prediction = |name| OutputDifference::new(executor, name, Tolerance::PREDICTION);
    let mut outputs = vec![
        of_targets(prediction("prediction"), &predictions, &recorded.prediction, lengths),
        of_targets(prediction("network_output"), &output.targets, &recorded.network_output, lengths),
    ];
    outputs.extend(compare_weights(executor, output, expected));
    Ok(outputs)
}

/// Compares attention, where it is recorded, and selection weights at the valid steps.
fn compare_weights(executor: Executor, output: &NetworkOutput, expected: &Expected) -> Vec<OutputDifference> {
    let (encoder, decoder) = (&expected.batch.encoder_lengths, &expected.batch.decoder_lengths);
    let past = |at: &IxDyn, axis: usize| at[axis] < encoder[at[0]];
    let future = |at: &IxDyn, axis: usize| at[axis] < decoder[at[0]];
    let found = output.clone();
    let recorded = &expected.outputs;
    let mut differences = Vec::new();
    let mut compare = |name, found: ArrayD<f32>, recorded: Option<_>, is_valid: &dyn Fn(&IxDyn) -> bool| {
        let Some(recorded) = recorded else { return };
        let mut difference = OutputDifference::new(executor, name, Tolerance::WEIGHT);
        difference.add(&found, recorded, is_valid);
        differences.push(difference);
    };
    let attention = recorded.encoder_attention.as_ref();
    let is_valid = |at: &IxDyn| future(at, 1) && past(at, 3);
    compare("encoder_attention", found.encoder_attention.into_dyn(), attention, &is_valid);
    let attention = recorded.decoder_attention.as_ref();
    let is_valid = |at: &IxDyn| future(at, 1) && future(at, 3);
    compare("decoder_attention", found.decoder_attention.into_dyn(), attention, &is_valid);
    let variables = Some(&recorded.static_variables);
    compare("static_variables", found.static_weights.into_dyn(), variables, &|_| true);
    let variables = Some(&recorded.encoder_variables);
    compare("encoder_variables", found.encoder_weights.into_dyn(), variables, &|at| past(at, 1));
    let variables = Some(&recorded.decoder_variables);
    compare("decoder_variables", found.decoder_weights.into_dyn(), variables, &|at| future(at, 1));
    differences
}

fn compare_rows(executor: Executor, predictions: &[Array3<f32>], rows: &ExpectedRows) -> OutputDifference {
    let lengths = vec![usize::MAX; predictions.first().map_or(0, |target| target.dim().0)];
    let difference = OutputDifference::new(executor, "row_predictions", Tolerance::PREDICTION);
    of_targets(difference, predictions, &rows.predictions, &lengths)
}

/// Compares all targets at the first steps of each window.
fn of_targets(
    mut difference: OutputDifference,
    found: &[Array3<f32>],
    recorded: &[ArrayD<f64>],
    lengths: &[usize],
) -> OutputDifference {
    for (found, recorded) in found.iter().zip(recorded) {
        let is_valid = |at: &IxDyn| at[1] < lengths[at[0]];
        difference.add(&found.clone().into_dyn(), recorded, &is_valid);
    }
    difference
}
