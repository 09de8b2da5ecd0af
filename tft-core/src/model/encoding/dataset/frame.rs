//! Rows with what is known of all of them while their windows are encoded.

use std::collections::BTreeMap;

use super::DatasetEncoding;
use super::categoricals::CategoricalColumn;
use super::encoded::EncodedWindow;
use super::groups::GroupCodes;
use super::reals::RealColumn;
use super::window::Window;
use crate::error::{Error, ErrorKind};
use crate::model::encoding::normalizer::{CenterScale, GroupKey, Normalizer};
use crate::model::encoding::rows::{LabelColumn, Rows};
use crate::problems::Problems;

/// Rows with what is known of all of them while their windows are encoded.
pub(super) struct Frame<'a> {
    pub(super) encoding: &'a DatasetEncoding,
    pub(super) rows: &'a Rows,
    pub(super) time: std::borrow::Cow<'a, [i64]>,
    /// The columns of all label variables.
    pub(super) labels: LabelColumns<'a>,
    pub(super) codes: GroupCodes,
    /// Whether all targets are columns of single precision.
    pub(super) targets_are_single: bool,
    pub(super) reals: Vec<RealColumn<'a>>,
    pub(super) categoricals: Vec<CategoricalColumn<'a>>,
}

/// Columns of labels by variable.
pub(super) type LabelColumns<'a> = BTreeMap<&'a str, LabelColumn<'a>>;

impl<'a> Frame<'a> {
    /// Prepares rows of which each group's last steps are windows.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] naming every column that is missing or of the wrong kind.
    pub(super) fn of_groups(encoding: &'a DatasetEncoding, rows: &'a Rows) -> Result<Self, Error> {
        Self::new(encoding, rows, GroupCodes::of_groups)
    }

    /// Prepares rows that are known to be series one after another, none of which knows of the others.
    pub(super) fn of_series(encoding: &'a DatasetEncoding, rows: &'a Rows) -> Result<Self, Error> {
        Self::new(encoding, rows, GroupCodes::of_series)
    }

    /// Encodes a window; what it holds if there are problems has no meaning.
    pub(super) fn encode(&self, window: &Window, problems: &mut Problems) -> EncodedWindow {
        EncodedWindow {
            group: window.group.clone(),
            first_prediction_idx: window.first_idx.saturating_add(window.encoder_length as i64),
            encoder_length: window.encoder_length,
            reals: self.reals.iter().map(|column| self.real_column(window, column, problems)).collect(),
            codes: self.categorical_columns(window, problems),
            target_scales: self.target_scales(window),
        }
    }

    /// The constants that a row's values are scaled with: found by the codes of the encoders that users
    /// see.
    pub(super) fn visible_constants(&self, normalizer: &Normalizer, row: usize) -> CenterScale {
        let keys: Vec<GroupKey> =
            normalizer.groups().iter().map(|name| self.visible_key(name, row)).collect();
        normalizer.fitted(&keys)
    }

    /// Returns what the constants of a normaliser depend on: the labels of each row, by group variable.
    pub(super) fn groups_of(&self, normalizer: &Normalizer) -> Vec<&[u32]> {
        let labels = normalizer.groups().iter().filter_map(|name| self.labels.get(name.as_str()));
        labels.map(|labels| &*labels.ids).collect()
    }

    fn new(
        encoding: &'a DatasetEncoding,
        rows: &'a Rows,
        codes: impl Fn(&DatasetEncoding, &LabelColumns<'_>) -> GroupCodes,
    ) -> Result<Self, Error> {
        check_columns(encoding, rows)?;
        let time = rows.integers(&encoding.time_idx)?;
        let labels = encoding.label_variables().into_iter().map(|name| Ok((name, rows.labels(name)?)));
        let labels = labels.collect::<Result<LabelColumns<'_>, Error>>()?;
        let codes = codes(encoding, &labels);
        // The reference transforms all targets as one array, which is single only if each of them is.
        let mut targets = encoding.targets.iter();
        let targets_are_single =
            targets.all(|name| rows.numbers(name).is_ok_and(|numbers| numbers.are_single()));
        let (reals, categoricals) = (Vec::new(), Vec::new());
        let mut frame = Self { encoding, rows, time, labels, codes, targets_are_single, reals, categoricals };
        let columns: Result<Vec<_>, Error> =
            encoding.reals.iter().map(|name| frame.prepare_real(name)).collect();
        frame.reals = columns?;
        frame.categoricals =
            encoding.flat_categoricals.iter().map(|name| frame.prepare_categorical(name)).collect();
        Ok(frame)
    }

    fn visible_key(&self, variable: &str, row: usize) -> GroupKey {
        let Some(labels) = self.labels.get(variable) else { return GroupKey::Code(-1) };
        let label = labels.at(row);
        if !self.encoding.is_encoded(variable) {
            return GroupKey::Label(label.to_owned());
        }
        let code = self.encoding.encoder(variable).and_then(|encoder| encoder.code(label));
        GroupKey::Code(code.map_or(-1, i64::from))
    }
}

fn check_columns(encoding: &DatasetEncoding, rows: &Rows) -> Result<(), Error> {
    let mut problems = Problems::default();
    if let Err(error) = rows.integers(&encoding.time_idx) {
        problems.push(error);
    }
    for name in encoding.real_variables() {
        if let Err(error) = rows.numbers(name) {
            problems.push(error);
        }
    }
    for name in encoding.label_variables() {
        if let Err(error) = rows.labels(name) {
            problems.push(error);
        }
    }
    problems.into_result(ErrorKind::InvalidInput, "rows cannot be encoded")
}
