//! The raw rows of `expected.json` and what the reference predicted from them.

use std::collections::BTreeMap;

use ndarray::ArrayD;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::expected::{ExpectedError, by_target, field_error};
use super::nested::reason;
use crate::error::Error;
use crate::model::{Architecture, Column, DatasetEncoding, EncodedRows, Rows};

/// Raw rows and what the reference predicted from them.
pub(super) struct ExpectedRows {
    rows: Rows,
    groups: Option<Vec<Vec<String>>>,
    first_prediction_idx: Option<Vec<i64>>,
    /// For each target `[windows, D, quantiles]`.
    pub(super) predictions: Vec<ArrayD<f64>>,
}

/// The fields of the document that are about rows.
#[derive(Deserialize)]
pub(super) struct RecordedRows<'a> {
    #[serde(borrow, default)]
    rows: Option<BTreeMap<String, &'a RawValue>>,
    #[serde(default)]
    row_dtypes: BTreeMap<String, String>,
    #[serde(borrow, default)]
    row_predictions: Option<&'a RawValue>,
    #[serde(default)]
    groups: Option<Vec<Vec<String>>>,
    #[serde(default)]
    first_prediction_idx: Option<Vec<i64>>,
}

impl RecordedRows<'_> {
    /// Checks the fields; none if there are no rows.
    pub(super) fn check(
        self,
        file: &str,
        architecture: &Architecture,
    ) -> Result<Option<ExpectedRows>, Error> {
        const PREDICTIONS: &str = "row_predictions";
        let Some(columns) = &self.rows else { return Ok(None) };
        let fail = |problem| field_error(file, PREDICTIONS, problem);
        let predictions = self.row_predictions.ok_or_else(|| fail("is missing".to_owned()))?;
        let predictions = by_target(predictions, architecture, [None, None]).map_err(fail)?;
        let rows = self.table(columns, file)?;
        let (groups, first_prediction_idx) = (self.groups, self.first_prediction_idx);
        Ok(Some(ExpectedRows { rows, groups, first_prediction_idx, predictions }))
    }

    fn table(&self, columns: &BTreeMap<String, &RawValue>, file: &str) -> Result<Rows, Error> {
        let mut rows = Rows::new();
        for (name, values) in columns {
            let column = column(values, self.row_dtypes.get(name).map(String::as_str));
            let column = column.map_err(|problem| field_error(file, &format!("rows.{name}"), problem))?;
            let unusable = |source| ExpectedError::Rows { file: file.to_owned(), source };
            rows = rows.with(name, column).map_err(unusable)?;
        }
        Ok(rows)
    }
}

impl ExpectedRows {
    /// Encodes the rows and checks that they give the windows that were recorded.
    pub(super) fn encode(&self, encoding: &DatasetEncoding, file: &str) -> Result<EncodedRows, Error> {
        let unusable = |source| ExpectedError::Rows { file: file.to_owned(), source };
        let encoded = encoding.encode_last(&self.rows).map_err(unusable)?;
        match self.mismatch(&encoded) {
            None => Ok(encoded),
            Some((field, problem)) => Err(field_error(file, field, problem)),
        }
    }

    /// Returns the first field that is not about the windows that were encoded, and a clause about it.
    fn mismatch(&self, encoded: &EncodedRows) -> Option<(&'static str, String)> {
        if let Some(groups) = self.groups.as_ref().filter(|groups| **groups != encoded.groups) {
            return Some(("groups", format!("are {groups:?}, the rows give {:?}", encoded.groups)));
        }
        let (recorded, found) = (self.first_prediction_idx.as_ref(), &encoded.first_prediction_idx);
        if let Some(recorded) = recorded.filter(|recorded| *recorded != found) {
            return Some(("first_prediction_idx", format!("is {recorded:?}, the rows give {found:?}")));
        }
        let expected = [encoded.batch.windows(), encoded.batch.decoder_steps()];
        let mut shapes = self.predictions.iter().map(|prediction| &prediction.shape()[..2]);
        let shape = shapes.find(|shape| *shape != expected)?;
        Some(("row_predictions", format!("has {shape:?} windows and steps, the rows give {expected:?}")))
    }
}

/// Reads a column of raw values of a type with its name in pandas; without one, of the first that fits.
fn column(text: &RawValue, dtype: Option<&str>) -> Result<Column, String> {
    let text = text.get();
    let Some(dtype) = dtype else { return untyped_column(text) };
    let column = match dtype {
        "float32" | "float16" => singles(text),
        "float64" => reals(text),
        "bool" => flags(text),
        "string" => texts(text),
        dtype if dtype.starts_with("int") || dtype.starts_with("uint") => integers(text),
        _ => return Err(format!("has the unknown type `{dtype}` in row_dtypes")),
    };
    column.map_err(|error| format!("is not a list of {dtype}: {}", reason(&error)))
}

fn untyped_column(text: &str) -> Result<Column, String> {
    integers(text)
        .or_else(|_| reals(text))
        .or_else(|_| flags(text))
        .or_else(|_| texts(text))
        .map_err(|error| format!("is neither a list of numbers nor one of texts: {}", reason(&error)))
}

fn integers(text: &str) -> Result<Column, serde_json::Error> {
    serde_json::from_str(text).map(Column::Integers)
}

fn flags(text: &str) -> Result<Column, serde_json::Error> {
    let flags: Vec<bool> = serde_json::from_str(text)?;
    Ok(Column::Integers(flags.into_iter().map(i64::from).collect()))
}

fn singles(text: &str) -> Result<Column, serde_json::Error> {
    Ok(Column::Singles(numbers(text)?.into_iter().map(|value| value as f32).collect()))
}

fn reals(text: &str) -> Result<Column, serde_json::Error> {
    numbers(text).map(Column::Reals)
}

fn numbers(text: &str) -> Result<Vec<f64>, serde_json::Error> {
    let values: Vec<Option<f64>> = serde_json::from_str(text)?;
    Ok(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
}

/// A missing text is `nan`, as in the reference.
fn texts(text: &str) -> Result<Column, serde_json::Error> {
    let values: Vec<Option<String>> = serde_json::from_str(text)?;
    Ok(Column::Texts(values.into_iter().map(|value| value.unwrap_or_else(|| "nan".to_owned())).collect()))
}
