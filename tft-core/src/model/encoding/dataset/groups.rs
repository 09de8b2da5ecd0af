//! The hidden codes that the reference tells groups apart by.

use std::collections::HashMap;

use super::DatasetEncoding;
use crate::error::Error;
use crate::model::encoding::rows::Rows;

/// For each group variable, the code of every row.
///
/// Known labels have the codes of the encoder `__group_id__<variable>`. In a frame of groups unknown labels
/// are numbered on after them in sorted order, so their codes depend on the other rows.
pub(super) struct GroupCodes {
    by_variable: Vec<Vec<i64>>,
}

impl GroupCodes {
    /// The code of a label that is unknown where rows must not influence each other.
    const UNKNOWN: i64 = -1;

    pub(super) fn of_groups(encoding: &DatasetEncoding, rows: &Rows) -> Result<Self, Error> {
        Self::new(encoding, rows, |first, position| first + position as i64)
    }

    pub(super) fn of_series(encoding: &DatasetEncoding, rows: &Rows) -> Result<Self, Error> {
        Self::new(encoding, rows, |_, _| Self::UNKNOWN)
    }

    /// The codes of a row, in the order of the group variables.
    pub(super) fn of_row(&self, row: usize) -> Vec<i64> {
        self.by_variable.iter().map(|codes| codes[row]).collect()
    }

    fn new(
        encoding: &DatasetEncoding,
        rows: &Rows,
        unknown_code: impl Fn(i64, usize) -> i64,
    ) -> Result<Self, Error> {
        let mut by_variable = Vec::with_capacity(encoding.group_ids.len());
        for name in &encoding.group_ids {
            by_variable.push(codes_of(encoding, rows, name, &unknown_code)?);
        }
        Ok(Self { by_variable })
    }
}

fn codes_of(
    encoding: &DatasetEncoding,
    rows: &Rows,
    variable: &str,
    unknown_code: impl Fn(i64, usize) -> i64,
) -> Result<Vec<i64>, Error> {
    let labels = rows.labels(variable)?;
    let encoder = encoding.categorical_encoders.get(&format!("__group_id__{variable}"));
    let known = |label: &str| encoder.and_then(|encoder| encoder.known_code(label)).map(i64::from);
    let mut unknown: HashMap<String, i64> = HashMap::new();
    for row in 0..rows.len() {
        let label = labels.at(row);
        if known(&label).is_none() && !unknown.contains_key(label.as_ref()) {
            unknown.insert(label.into_owned(), 0);
        }
    }
    let first = encoder.map_or(0, |encoder| encoder.classes.len() as i64 + i64::from(encoder.add_nan));
    let mut sorted: Vec<String> = unknown.keys().cloned().collect();
    labels.sort(&mut sorted);
    for (position, label) in sorted.into_iter().enumerate() {
        unknown.insert(label, unknown_code(first, position));
    }
    let code = |row: usize| {
        let label = labels.at(row);
        known(&label).unwrap_or_else(|| unknown[label.as_ref()])
    };
    Ok((0..rows.len()).map(code).collect())
}
