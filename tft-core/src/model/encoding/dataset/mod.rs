//! The encoding of a pytorch-forecasting `TimeSeriesDataSet` in its predict mode.
//!
//! Raw rows to tensors and back, including the reference's habit of scaling back with the constants of a
//! different group code than those it scaled with (see [`TargetScaleLookup`]). The steps are those of
//! `TimeSeriesDataSet._preprocess_data` and `__getitem__`, version 1.8.

mod categoricals;
mod check;
mod encoded;
mod frame;
mod groups;
mod reals;
mod scales;
mod window;

use std::collections::BTreeMap;
use std::ops::Range;

use serde::{Deserialize, Serialize};

pub use encoded::EncodedRows;
pub use window::GroupWindows;

use self::frame::Frame;
use super::categorical::CategoricalEncoder;
use super::normalizer::{EncoderFit, Normalizer};
use super::rows::Rows;
use super::source::Source;
use crate::error::Error;
use crate::problems::Problems;

/// The parameters of a `TimeSeriesDataSet`, under their own names.
#[allow(clippy::struct_excessive_bools, reason = "the reference has these switches")]
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
    /// The first time index that may be predicted; any if absent.
    #[serde(default)]
    pub min_prediction_idx: Option<i64>,
    /// Whether gaps in the time index are filled with the step before.
    pub allow_missing_timesteps: bool,
    /// What fills gaps instead of the step before, by column.
    #[serde(default)]
    pub constant_fill_strategy: BTreeMap<String, FillValue>,
    /// Whether the relative time index is an input.
    pub add_relative_time_idx: bool,
    /// Whether the constants that scale the targets are inputs.
    #[serde(default)]
    pub add_target_scales: bool,
    /// Whether the encoder length is an input.
    pub add_encoder_length: bool,
    /// By how many rows each variable is also given with a lag: the columns `<variable>_lagged_by_<lag>`.
    #[serde(default)]
    pub lags: BTreeMap<String, Vec<usize>>,
    /// Categoricals of several columns that share classes and an embedding.
    #[serde(default)]
    pub variable_groups: BTreeMap<String, Vec<String>>,
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
    /// With which constants outputs are scaled back.
    #[serde(default)]
    pub target_scale_lookup: TargetScaleLookup,
    /// Where the columns come from when a rolling window is forecast; [`Source::of_column`] where a column
    /// has no entry.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub sources: BTreeMap<String, Source>,
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

/// With which constants of a `GroupNormalizer` outputs are scaled back.
///
/// The reference looks them up with its hidden group codes, which have no class for unknown groups, in a
/// table indexed by the visible codes, which may have one. Where they do, each group gets the constants of
/// the group before it. A model was trained with that, so it is repeated unless told otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TargetScaleLookup {
    /// With those that the reference finds.
    #[default]
    GroupCode,
    /// With those that inputs were scaled with.
    VisibleCode,
}

/// What stands in for the steps of a gap.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum FillValue {
    /// A number, for reals.
    Number(f64),
    /// A truth value, for reals.
    Flag(bool),
    /// A label, for categoricals.
    Label(String),
}

impl DatasetEncoding {
    /// Encodes the last steps of every group: the last `max_prediction_length` steps become the decoder, up
    /// to `max_encoder_length` steps before them the encoder.
    ///
    /// Windows come in the order of their groups: known ones first, each part sorted. Groups with fewer than
    /// `min_encoder_length + max_prediction_length` steps are left out.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) naming every column, group and value at fault, or if no group is long
    /// enough.
    pub fn encode_last(&self, rows: &Rows) -> Result<EncodedRows, Error> {
        let windows = self.last_windows(rows)?;
        windows.encode(0..windows.len())
    }

    /// Cuts the last steps of every group as [`encode_last`](Self::encode_last) does, to be encoded part by
    /// part.
    ///
    /// # Errors
    /// Those of `encode_last` that do not concern values.
    pub fn last_windows<'a>(&'a self, rows: &'a Rows) -> Result<GroupWindows<'a>, Error> {
        let frame = Frame::of_groups(self, rows)?;
        let windows = frame.windows()?;
        Ok(GroupWindows { frame, windows })
    }

    /// Encodes the last steps of rows that are series one after another, none of which knows of the others.
    ///
    /// Returns the places of those series that could be encoded, and their windows in this order. Others are
    /// too short, have gaps or hold what the encoding cannot take. A group that training did not see has the
    /// constants of unknown groups, whatever other groups there are.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`](crate::ErrorKind::InvalidInput) naming every column that is missing or of the wrong kind.
    pub fn encode_series(
        &self,
        rows: &Rows,
        series: &[Range<usize>],
    ) -> Result<(Vec<usize>, EncodedRows), Error> {
        let frame = Frame::of_series(self, rows)?;
        let mut taken = Vec::new();
        let mut encoded = Vec::new();
        for (place, rows) in series.iter().enumerate() {
            let Some(window) = frame.window_of(rows.clone()) else { continue };
            let mut problems = Problems::default();
            let one = frame.encode(&window, &mut problems);
            if problems.is_empty() {
                taken.push(place);
                encoded.push(one);
            }
        }
        Ok((taken, EncodedRows::stack(self, encoded)))
    }

    /// Returns the fewest rows before the decoder that make a window.
    pub fn history_steps_min(&self) -> usize {
        let fits = self.normalizers().iter().filter_map(Normalizer::encoder_fit);
        let fit_steps = fits.map(EncoderFit::steps_min).max().unwrap_or(1);
        self.min_encoder_length.max(fit_steps) + self.max_lag()
    }

    /// Returns how many rows before the encoder the lags reach.
    pub fn max_lag(&self) -> usize {
        self.lags.values().flatten().copied().max().unwrap_or(0)
    }

    pub(crate) fn normalizers(&self) -> &[Normalizer] {
        match &self.target_normalizer {
            TargetNormalizer::Multi { normalizers } => normalizers,
            TargetNormalizer::Single(normalizer) => std::slice::from_ref(normalizer),
        }
    }

    /// Returns the variable of a lagged column and its lag; other columns are themselves with lag 0.
    pub(crate) fn base<'a>(&'a self, column: &'a str) -> (&'a str, usize) {
        let lagged = |(variable, lags): (&'a String, &Vec<usize>)| {
            let lag = column.strip_prefix(variable.as_str())?.strip_prefix("_lagged_by_")?.parse().ok()?;
            lags.contains(&lag).then_some((variable.as_str(), lag))
        };
        self.lags.iter().find_map(lagged).unwrap_or((column, 0))
    }

    /// Returns the encoder of a categorical column's variable or of its group.
    pub(crate) fn encoder(&self, variable: &str) -> Option<&CategoricalEncoder> {
        let group = self.variable_groups.iter().find(|(_, members)| members.iter().any(|m| m == variable));
        self.categorical_encoders.get(group.map_or(variable, |(group, _)| group.as_str()))
    }

    /// Returns the target and whether it is the centre, if a column holds a target's scaling constant.
    pub(crate) fn target_constant(&self, column: &str) -> Option<(usize, bool)> {
        let constant = |(target, name): (usize, &String)| match column.strip_prefix(name.as_str())? {
            "_center" => Some((target, true)),
            "_scale" => Some((target, false)),
            _ => None,
        };
        self.targets.iter().enumerate().find_map(constant).filter(|_| self.add_target_scales)
    }

    /// Returns whether a real column is set per window and not read from rows.
    pub(crate) fn is_computed(&self, column: &str) -> bool {
        (self.add_relative_time_idx && column == "relative_time_idx")
            || (self.add_encoder_length && column == "encoder_length")
            || self.target_constant(column).is_some()
    }

    /// Returns whether a real column's value at a step changes with the window that the step is in.
    #[cfg(any(feature = "burn", feature = "engine"))]
    pub(crate) fn depends_on_window(&self, column: &str) -> bool {
        let variable = self.base(column).0;
        let of_target = self.targets.iter().position(|target| target == variable);
        let normalizer = match of_target {
            Some(target) => self.normalizers().get(target),
            None => self.scalers.get(variable).and_then(Option::as_ref),
        };
        self.is_computed(column) || normalizer.and_then(Normalizer::encoder_fit).is_some()
    }

    /// Returns the variables of the real columns that are read from rows, each once.
    pub fn real_variables(&self) -> Vec<&str> {
        let read = self.reals.iter().filter(|column| !self.is_computed(column));
        distinct(self.targets.iter().map(String::as_str).chain(read.map(|column| self.base(column).0)))
    }

    /// Returns the variables that labels are read of: categoricals, groups and what normalisers group by.
    pub fn label_variables(&self) -> Vec<&str> {
        let scalers = self.scalers.values().flatten();
        let grouped = self.normalizers().iter().chain(scalers).flat_map(Normalizer::groups);
        let categoricals = self.flat_categoricals.iter().map(|column| self.base(column).0);
        distinct(self.group_ids.iter().chain(grouped).map(String::as_str).chain(categoricals))
    }

    /// Returns whether a group variable is known by its class codes and not by its labels.
    pub(crate) fn is_encoded(&self, variable: &str) -> bool {
        let groups_are = matches!(
            self.target_normalizer,
            TargetNormalizer::Multi { .. } | TargetNormalizer::Single(Normalizer::GroupNormalizer { .. })
        );
        self.flat_categoricals.iter().any(|name| name == variable)
            || (groups_are && self.group_ids.iter().any(|name| name == variable))
    }
}

fn distinct<'a>(names: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut seen = std::collections::HashSet::new();
    names.filter(|name| seen.insert(*name)).collect()
}
