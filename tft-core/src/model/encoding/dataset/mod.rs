//! The encoding of a pytorch-forecasting `TimeSeriesDataSet` in its predict mode.
//!
//! Raw rows to tensors and back, including the reference's habit of scaling back with the constants of a
//! different group code than those it scaled with (see [`DatasetEncoding::target_scales`]). The steps are
//! those of `TimeSeriesDataSet._preprocess_data` and `__getitem__`, version 1.8.

mod check;
mod columns;
mod encoded;
mod scales;
mod window;

use std::collections::BTreeMap;

use ndarray::Array3;
use serde::{Deserialize, Serialize};

pub use encoded::EncodedRows;

use super::categorical::CategoricalEncoder;
use super::normalizer::Normalizer;
use super::rows::Rows;
use crate::error::{Error, ErrorKind};
use crate::model::batch::TensorBatch;

/// The parameters of a `TimeSeriesDataSet`, under their own names.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatasetEncoding {
    /// The column that numbers the steps.
    pub time_idx: String,
    /// The columns that are forecast.
    pub targets: Vec<String>,
    /// The columns that tell series apart.
    pub group_ids: Vec<String>,
    /// Longest encoder, in steps.
    pub max_encoder_length: usize,
    /// Shortest encoder, in steps.
    pub min_encoder_length: usize,
    /// Decoder length, in steps.
    pub max_prediction_length: usize,
    /// Whether gaps in the time index are filled with the step before.
    pub allow_missing_timesteps: bool,
    /// Whether the relative time index is an input.
    pub add_relative_time_idx: bool,
    /// Whether the encoder length is an input.
    pub add_encoder_length: bool,
    /// Lagged inputs; not supported.
    #[serde(default)]
    pub lags: BTreeMap<String, Vec<usize>>,
    /// The columns of the real inputs, in order.
    pub reals: Vec<String>,
    /// The columns of the categorical inputs, in order.
    pub flat_categoricals: Vec<String>,
    /// The normaliser of the targets: one, or a `MultiNormalizer` of one each.
    pub target_normalizer: TargetNormalizer,
    /// The scalers of other reals; an absent or null one leaves values as they are.
    pub scalers: BTreeMap<String, Option<Normalizer>>,
    /// The encoders of categoricals and groups.
    pub categorical_encoders: BTreeMap<String, CategoricalEncoder>,
}

/// The normaliser of the targets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum TargetNormalizer {
    /// One per target.
    Multi {
        /// In the order of the targets.
        normalizers: Vec<Normalizer>,
    },
    /// The normaliser of the only target.
    Single(Normalizer),
}

#[derive(Debug, thiserror::Error)]
enum DatasetError {
    #[error("encoding.{field} {problem}")]
    Inconsistent { field: String, problem: String },
    #[error("encoding.{field} is not supported")]
    Unsupported { field: &'static str },
    #[error("no group has the {needed} steps that a window needs; the longest has {longest}")]
    TooShort { needed: usize, longest: usize },
    #[error("group {group:?} has time index {time_idx} twice")]
    DuplicateStep { group: Vec<String>, time_idx: i64 },
    #[error("group {group:?} has a gap after time index {time_idx}, and gaps are not allowed")]
    Gap { group: Vec<String>, time_idx: i64 },
    #[error(
        "target `{target}` of group {group:?} is {value} at time index {time_idx}, which its normaliser can not take"
    )]
    Target { target: String, group: Vec<String>, value: f64, time_idx: i64 },
}

impl DatasetEncoding {
    /// Encodes the last steps of every group: the last `max_prediction_length` steps become the decoder, up
    /// to `max_encoder_length` steps before them the encoder.
    ///
    /// Windows come in the order of their groups: known ones first, each part sorted. Groups with fewer than
    /// `min_encoder_length + max_prediction_length` steps are left out.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] naming the column, group or value at fault, or if no group is long
    /// enough.
    pub fn encode_last(&self, rows: &Rows) -> Result<EncodedRows, Error> {
        let windows = self.windows(rows)?;
        let mut reals = Vec::with_capacity(windows.len());
        let mut codes = Vec::with_capacity(windows.len());
        for window in &windows {
            reals.push(self.real_columns(rows, window)?);
            codes.push(self.categorical_columns(rows, window)?);
        }
        let target_scales = self.target_scales(rows, &windows)?;
        let encoder_lengths: Vec<usize> = windows.iter().map(|window| window.encoder_length).collect();
        let decoder_steps = self.max_prediction_length;
        let encoder_steps = encoder_lengths.iter().copied().max().unwrap_or(0);
        let sides = |columns: usize| (columns, encoder_steps, decoder_steps);
        let (encoder_reals, decoder_reals) = split(&reals, &encoder_lengths, sides(self.reals.len()));
        let (encoder_categoricals, decoder_categoricals) =
            split(&codes, &encoder_lengths, sides(self.flat_categoricals.len()));
        Ok(EncodedRows {
            batch: TensorBatch {
                encoder_reals,
                encoder_categoricals,
                decoder_reals,
                decoder_categoricals,
                decoder_lengths: vec![decoder_steps; windows.len()],
                encoder_lengths,
            },
            first_prediction_idx: windows.iter().map(|w| w.first_idx + w.encoder_length as i64).collect(),
            groups: windows.into_iter().map(|window| window.group).collect(),
            target_scales,
            reverse: self.normalizers().iter().map(Normalizer::transformation).collect(),
        })
    }

    fn normalizers(&self) -> &[Normalizer] {
        match &self.target_normalizer {
            TargetNormalizer::Multi { normalizers } => normalizers,
            TargetNormalizer::Single(normalizer) => std::slice::from_ref(normalizer),
        }
    }

    fn hidden_encoder(&self, group_id: &str) -> Option<&CategoricalEncoder> {
        self.categorical_encoders.get(&format!("__group_id__{group_id}"))
    }
}

impl From<DatasetError> for Error {
    fn from(error: DatasetError) -> Self {
        let kind = match error {
            DatasetError::Inconsistent { .. } | DatasetError::Unsupported { .. } => ErrorKind::InvalidModel,
            _ => ErrorKind::InvalidInput,
        };
        Self::new(kind, error)
    }
}

/// Splits windows of unequal length into encoder and decoder arrays; the encoder is padded on the right.
fn split<T: Copy + Default>(
    windows: &[Vec<Vec<T>>],
    encoder_lengths: &[usize],
    (columns, encoder_steps, decoder_steps): (usize, usize, usize),
) -> (Array3<T>, Array3<T>) {
    let mut encoder = Array3::from_elem((windows.len(), encoder_steps, columns), T::default());
    let mut decoder = Array3::from_elem((windows.len(), decoder_steps, columns), T::default());
    for (window, (steps, &encoder_length)) in windows.iter().zip(encoder_lengths).enumerate() {
        for (step, values) in steps.iter().enumerate() {
            for (column, &value) in values.iter().enumerate() {
                if step < encoder_length {
                    encoder[[window, step, column]] = value;
                } else {
                    decoder[[window, step - encoder_length, column]] = value;
                }
            }
        }
    }
    (encoder, decoder)
}
