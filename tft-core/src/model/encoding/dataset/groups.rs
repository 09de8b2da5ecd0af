//! The hidden codes that the reference tells groups apart by.

use std::collections::HashMap;

use super::DatasetEncoding;
use super::frame::LabelColumns;
use crate::model::encoding::rows::LabelColumn;

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

    pub(super) fn of_groups(encoding: &DatasetEncoding, labels: &LabelColumns<'_>) -> Self {
        Self::new(encoding, labels, |first, position| first + position as i64)
    }

    pub(super) fn of_series(encoding: &DatasetEncoding, labels: &LabelColumns<'_>) -> Self {
        Self::new(encoding, labels, |_, _| Self::UNKNOWN)
    }

    /// The codes of a row, in the order of the group variables.
    pub(super) fn of_row(&self, row: usize) -> Vec<i64> {
        self.by_variable.iter().map(|codes| codes[row]).collect()
    }

    fn new(
        encoding: &DatasetEncoding,
        labels: &LabelColumns<'_>,
        unknown_code: impl Fn(i64, usize) -> i64,
    ) -> Self {
        let of_variable = |name: &String| codes_of(encoding, &labels[name.as_str()], name, &unknown_code);
        Self { by_variable: encoding.group_ids.iter().map(of_variable).collect() }
    }
}

fn codes_of(
    encoding: &DatasetEncoding,
    labels: &LabelColumn<'_>,
    variable: &str,
    unknown_code: impl Fn(i64, usize) -> i64,
) -> Vec<i64> {
    let encoder = encoding.categorical_encoders.get(&format!("__group_id__{variable}"));
    let known = |label: &str| encoder.and_then(|encoder| encoder.known_code(label)).map(i64::from);
    let first = encoder.map_or(0, |encoder| encoder.classes.len() as i64 + i64::from(encoder.add_nan));
    let unknown = labels.words.iter().filter(|label| known(label).is_none());
    let mut sorted: Vec<String> = unknown.map(|label| label.clone().into_owned()).collect();
    labels.sort(&mut sorted);
    sorted.dedup();
    let positions: HashMap<&str, usize> = sorted.iter().map(String::as_str).zip(0..).collect();
    let code = |label: &str| known(label).unwrap_or_else(|| unknown_code(first, positions[label]));
    let of_words: Vec<i64> = labels.words.iter().map(|label| code(label)).collect();
    labels.ids.iter().map(|&id| of_words[id as usize]).collect()
}
