//! The encoding of a pytorch-forecasting `TimeSeriesDataSet` in its predict mode.
//!
//! Raw rows to tensors and back, including the reference's habit of scaling back with the constants of a
//! different group code than those it scaled with (see [`DatasetEncoding::target_scales`]). The steps are
//! those of `TimeSeriesDataSet._preprocess_data` and `__getitem__`, version 1.8.

use std::collections::{BTreeMap, BTreeSet};

use ndarray::{Array3, s};
use serde::{Deserialize, Serialize};

use super::categorical::CategoricalEncoder;
use super::normalizer::{CenterScale, GroupNorm, Normalizer, window_constants};
use super::rows::Rows;
use crate::error::{Error, ErrorKind};
use crate::model::architecture::Architecture;
use crate::model::batch::{NetworkOutput, TensorBatch};

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

/// Encoded rows: a batch, and what turns its outputs into predictions.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EncodedRows {
    /// The tensors, one window per group.
    pub batch: TensorBatch,
    /// The group of each window.
    pub groups: Vec<Vec<String>>,
    /// The time index of each window's first decoder step.
    pub first_prediction_idx: Vec<i64>,
    /// `[targets][windows]`: the constants that scale outputs back.
    pub target_scales: Vec<Vec<CenterScale>>,
    reverse: Vec<Option<super::Transformation>>,
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

/// The steps of one group that become a window: a row per step, gaps filled with the row before.
struct Window {
    group: Vec<String>,
    rows: Vec<usize>,
    first_idx: i64,
    encoder_length: usize,
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

    pub(super) fn validate(&self, architecture: &Architecture) -> Result<(), Error> {
        let same = |field: &str, left: &[String], right: &[String]| {
            if left == right {
                return Ok(());
            }
            let problem = format!("{left:?} differs from the architecture's {right:?}");
            Err(Error::from(DatasetError::Inconsistent { field: field.to_owned(), problem }))
        };
        same("reals", &self.reals, &architecture.x_reals)?;
        same("flat_categoricals", &self.flat_categoricals, &architecture.x_categoricals)?;
        self.validate_lengths(architecture)?;
        self.validate_normalizers(architecture)?;
        self.validate_encoders(architecture)?;
        if !self.lags.is_empty() {
            return Err(DatasetError::Unsupported { field: "lags" }.into());
        }
        Ok(())
    }

    fn validate_lengths(&self, architecture: &Architecture) -> Result<(), Error> {
        let lengths = [
            ("min_encoder_length", self.min_encoder_length, self.max_encoder_length),
            ("max_encoder_length", self.max_encoder_length, architecture.max_encoder_length),
            ("max_prediction_length", self.max_prediction_length, Architecture::LENGTH_MAX),
        ];
        for (field, length, max) in lengths {
            if !(1..=max).contains(&length) {
                let problem = format!("is {length}, allowed are 1 to {max}");
                return Err(DatasetError::Inconsistent { field: field.to_owned(), problem }.into());
            }
        }
        Ok(())
    }

    fn validate_normalizers(&self, architecture: &Architecture) -> Result<(), Error> {
        let (found, targets) = (self.normalizers().len(), self.targets.len());
        if found != targets || targets != architecture.targets() {
            let expected = architecture.targets();
            let problem =
                format!("has {found} normalisers for {targets} targets of a network with {expected}");
            return Err(DatasetError::Inconsistent { field: "target_normalizer".into(), problem }.into());
        }
        let scalers = self.scalers.iter().filter_map(|(name, scaler)| Some((name, scaler.as_ref()?)));
        for (name, normalizer) in self.targets.iter().zip(self.normalizers()).chain(scalers) {
            if let Some(problem) = normalizer_problem(normalizer) {
                return Err(
                    DatasetError::Inconsistent { field: format!("normalizer of `{name}`"), problem }.into()
                );
            }
        }
        Ok(())
    }

    fn validate_encoders(&self, architecture: &Architecture) -> Result<(), Error> {
        for name in &self.flat_categoricals {
            let (classes, _) = architecture.embedding(name);
            let problem = match self.categorical_encoders.get(name) {
                None => format!("has no entry for `{name}`"),
                Some(encoder) if encoder.class_count() > classes => {
                    format!("has {} classes of `{name}`, its embedding has {classes}", encoder.class_count())
                }
                Some(_) => continue,
            };
            return Err(DatasetError::Inconsistent { field: "categorical_encoders".into(), problem }.into());
        }
        Ok(())
    }

    fn normalizers(&self) -> &[Normalizer] {
        match &self.target_normalizer {
            TargetNormalizer::Multi { normalizers } => normalizers,
            TargetNormalizer::Single(normalizer) => std::slice::from_ref(normalizer),
        }
    }

    /// Cuts each group's last steps, in the order in which the reference returns them.
    fn windows(&self, rows: &Rows) -> Result<Vec<Window>, Error> {
        let time = rows.integers(&self.time_idx)?;
        let mut members: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
        let columns: Result<Vec<_>, _> = self.group_ids.iter().map(|name| rows.texts(name)).collect();
        let columns = columns?;
        for row in 0..rows.len() {
            members.entry(columns.iter().map(|column| column[row].clone()).collect()).or_default().push(row);
        }
        let mut windows = Vec::new();
        let mut longest = 0;
        for (group, mut rows_of_group) in members {
            rows_of_group.sort_by_key(|&row| time[row]);
            let steps = self.fill_gaps(&group, &rows_of_group, &time)?;
            longest = longest.max(steps.len());
            windows.extend(self.cut(group, steps, &rows_of_group, &time));
        }
        if windows.is_empty() {
            let needed = self.min_encoder_length + self.max_prediction_length;
            return Err(DatasetError::TooShort { needed, longest }.into());
        }
        windows.sort_by_cached_key(|window| self.hidden_codes_key(&window.group));
        Ok(windows)
    }

    /// Returns one row per step of the group's last window, repeating the row before a gap.
    fn fill_gaps(&self, group: &[String], sorted: &[usize], time: &[i64]) -> Result<Vec<usize>, Error> {
        let wanted = self.max_encoder_length + self.max_prediction_length;
        let mut steps = Vec::with_capacity(wanted);
        let mut later: Option<i64> = None;
        for &row in sorted.iter().rev() {
            let gap = later.map_or(1, |later| later - time[row]);
            if gap == 0 {
                return Err(DatasetError::DuplicateStep { group: group.to_vec(), time_idx: time[row] }.into());
            }
            if gap > 1 && !self.allow_missing_timesteps {
                return Err(DatasetError::Gap { group: group.to_vec(), time_idx: time[row] }.into());
            }
            let room = (wanted - steps.len()) as i64;
            steps.extend(std::iter::repeat_n(row, gap.min(room) as usize));
            later = Some(time[row]);
            if steps.len() == wanted {
                break;
            }
        }
        steps.reverse();
        Ok(steps)
    }

    fn cut(&self, group: Vec<String>, steps: Vec<usize>, sorted: &[usize], time: &[i64]) -> Option<Window> {
        if steps.len() < self.min_encoder_length + self.max_prediction_length {
            return None;
        }
        let last_idx = time[*sorted.last()?];
        Some(Window {
            group,
            first_idx: last_idx + 1 - steps.len() as i64,
            encoder_length: steps.len() - self.max_prediction_length,
            rows: steps,
        })
    }

    /// The order of the reference: by the hidden group codes, unknown groups after the known ones.
    fn hidden_codes_key(&self, group: &[String]) -> Vec<(u32, String)> {
        let code = |(name, label): (&String, &String)| {
            let known = self.hidden_encoder(name).and_then(|encoder| encoder.known_code(label));
            (known.unwrap_or(u32::MAX), label.clone())
        };
        self.group_ids.iter().zip(group).map(code).collect()
    }

    fn hidden_encoder(&self, group_id: &str) -> Option<&CategoricalEncoder> {
        self.categorical_encoders.get(&format!("__group_id__{group_id}"))
    }

    /// The values of every real column, `[step][column]`.
    fn real_columns(&self, rows: &Rows, window: &Window) -> Result<Vec<Vec<f32>>, Error> {
        let mut steps = vec![Vec::with_capacity(self.reals.len()); window.rows.len()];
        for name in &self.reals {
            let values = self.real_column(rows, window, name)?;
            for (step, value) in steps.iter_mut().zip(values) {
                step.push(value as f32);
            }
        }
        Ok(steps)
    }

    fn real_column(&self, rows: &Rows, window: &Window, name: &str) -> Result<Vec<f64>, Error> {
        let steps = window.rows.len();
        let longest = self.max_encoder_length as f64;
        if name == "relative_time_idx" && self.add_relative_time_idx {
            let start = -(window.encoder_length as f64);
            return Ok((0..steps).map(|step| (start + step as f64) / longest).collect());
        }
        if name == "encoder_length" && self.add_encoder_length {
            let centred = (window.encoder_length as f64 - longest / 2.0) / longest * 2.0;
            return Ok(vec![centred; steps]);
        }
        if let Some(target) = self.targets.iter().position(|target| target == name) {
            return self.target_column(rows, window, target);
        }
        if let Some(constant) = self.target_constant(rows, window, name)? {
            return Ok(vec![self.scale_static(name, constant); steps]);
        }
        let values = rows.reals(name)?;
        let values: Vec<f64> = window.rows.iter().map(|&row| values[row]).collect();
        match self.scalers.get(name).and_then(Option::as_ref) {
            Some(scaler) => self.normalized(scaler, rows, window, &values),
            None => Ok(values),
        }
    }

    fn target_column(&self, rows: &Rows, window: &Window, target: usize) -> Result<Vec<f64>, Error> {
        let name = &self.targets[target];
        let values = rows.reals(name)?;
        let values: Vec<f64> = window.rows.iter().map(|&row| values[row]).collect();
        let normalized = self.normalized(&self.normalizers()[target], rows, window, &values)?;
        if let Some(step) = normalized.iter().position(|value| !value.is_finite()) {
            return Err(DatasetError::Target {
                target: name.clone(),
                group: window.group.clone(),
                value: values[step],
                time_idx: window.first_idx + step as i64,
            }
            .into());
        }
        Ok(normalized)
    }

    /// Transforms and scales a column with a normaliser's constants for this window.
    fn normalized(
        &self,
        normalizer: &Normalizer,
        rows: &Rows,
        window: &Window,
        values: &[f64],
    ) -> Result<Vec<f64>, Error> {
        let transform = |&value: &f64| normalizer.transformation().map_or(value, |t| t.forward(value));
        let transformed: Vec<f64> = values.iter().map(transform).collect();
        if let Normalizer::EncoderNormalizer { method, center, .. } = normalizer {
            let constants = window_constants(method, *center, &transformed[..window.encoder_length]);
            let scale =
                |&value: &f64| f64::from((value as f32 - constants.center as f32) / constants.scale as f32);
            return Ok(transformed.iter().map(scale).collect());
        }
        let constants = self.visible_constants(normalizer, rows, window)?;
        Ok(transformed.iter().map(|&value| constants.apply(value)).collect())
    }

    /// The value of a `<target>_center` or `<target>_scale` column, if `name` is one.
    fn target_constant(&self, rows: &Rows, window: &Window, name: &str) -> Result<Option<f64>, Error> {
        for (target, normalizer) in self.targets.iter().zip(self.normalizers()) {
            let Some(part) = name.strip_prefix(target.as_str()) else { continue };
            let constants = match own_constants(normalizer, rows, window, target)? {
                Some(constants) => constants,
                None => self.visible_constants(normalizer, rows, window)?,
            };
            match part {
                "_center" => return Ok(Some(constants.center)),
                "_scale" => return Ok(Some(constants.scale)),
                _ => {}
            }
        }
        Ok(None)
    }

    fn scale_static(&self, name: &str, value: f64) -> f64 {
        let scaler = self.scalers.get(name).and_then(Option::as_ref);
        scaler.map_or(value, |scaler| scaler.fitted(&[]).apply(value))
    }

    /// The constants that inputs are scaled with: found by the codes of the encoders that users see.
    fn visible_constants(
        &self,
        normalizer: &Normalizer,
        rows: &Rows,
        window: &Window,
    ) -> Result<CenterScale, Error> {
        let mut codes = Vec::with_capacity(normalizer.groups().len());
        for name in normalizer.groups() {
            let label = &rows.texts(name)?[window.rows[0]];
            let code = match self.categorical_encoders.get(name) {
                Some(encoder) => encoder.code(name, label)?,
                None => 0,
            };
            codes.push(i64::from(code));
        }
        Ok(normalizer.fitted(&codes))
    }

    /// The constants that outputs are scaled back with, `[targets][windows]`.
    ///
    /// The reference looks these up with its hidden group codes, which never have a class for unknown
    /// groups, in a table indexed by the visible codes, which may have one. Where they do, each group gets
    /// the constants of the group before it. A model was trained with that, so it is repeated here.
    fn target_scales(&self, rows: &Rows, windows: &[Window]) -> Result<Vec<Vec<CenterScale>>, Error> {
        let unknown = self.unknown_groups(windows);
        let mut scales = Vec::with_capacity(self.targets.len());
        for (target, normalizer) in self.targets.iter().zip(self.normalizers()) {
            let mut of_target = Vec::with_capacity(windows.len());
            for window in windows {
                of_target.push(self.target_scale(rows, window, target, normalizer, &unknown)?);
            }
            scales.push(of_target);
        }
        Ok(scales)
    }

    fn target_scale(
        &self,
        rows: &Rows,
        window: &Window,
        target: &str,
        normalizer: &Normalizer,
        unknown: &BTreeMap<String, BTreeSet<String>>,
    ) -> Result<CenterScale, Error> {
        if let Some(constants) = own_constants(normalizer, rows, window, target)? {
            return Ok(constants);
        }
        let mut codes = Vec::with_capacity(normalizer.groups().len());
        for name in normalizer.groups() {
            let label = &rows.texts(name)?[window.rows[0]];
            codes.push(self.hidden_code(name, label, unknown));
        }
        Ok(normalizer.fitted(&codes))
    }

    /// Unknown groups are numbered on after the known ones, in sorted order.
    fn hidden_code(&self, group_id: &str, label: &str, unknown: &BTreeMap<String, BTreeSet<String>>) -> i64 {
        let Some(encoder) = self.hidden_encoder(group_id) else { return -1 };
        if let Some(code) = encoder.known_code(label) {
            return i64::from(code);
        }
        let after = unknown.get(group_id).and_then(|labels| labels.iter().position(|other| other == label));
        (encoder.class_count() + after.unwrap_or(0)) as i64
    }

    fn unknown_groups(&self, windows: &[Window]) -> BTreeMap<String, BTreeSet<String>> {
        let mut unknown: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for window in windows {
            for (name, label) in self.group_ids.iter().zip(&window.group) {
                let is_known =
                    self.hidden_encoder(name).is_some_and(|encoder| encoder.known_code(label).is_some());
                if !is_known {
                    unknown.entry(name.clone()).or_default().insert(label.clone());
                }
            }
        }
        unknown
    }

    /// The class codes of every categorical column, `[step][column]`.
    fn categorical_columns(&self, rows: &Rows, window: &Window) -> Result<Vec<Vec<u32>>, Error> {
        let mut steps = vec![Vec::with_capacity(self.flat_categoricals.len()); window.rows.len()];
        for name in &self.flat_categoricals {
            let labels = rows.texts(name)?;
            let encoder = &self.categorical_encoders[name];
            for (step, &row) in steps.iter_mut().zip(&window.rows) {
                step.push(encoder.code(name, &labels[row])?);
            }
        }
        Ok(steps)
    }
}

impl EncodedRows {
    /// Scales a network's outputs back: for each target `[windows, decoder steps, quantiles]`, in the
    /// target's unit and the order of the model's quantiles, which may cross.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] if the output is not that of this batch.
    pub fn predictions(&self, output: &NetworkOutput) -> Result<Vec<Array3<f32>>, Error> {
        let windows = self.batch.windows();
        let fits = output.targets.len() == self.target_scales.len()
            && output.targets.iter().all(|target| target.dim().0 == windows);
        if !fits {
            let problem =
                format!("has {} targets, expected {}", output.targets.len(), self.target_scales.len());
            let error = DatasetError::Inconsistent { field: "output".into(), problem };
            return Err(Error::new(ErrorKind::InvalidInput, error));
        }
        let mut predictions = output.targets.clone();
        for (target, prediction) in predictions.iter_mut().enumerate() {
            for (window, constants) in self.target_scales[target].iter().enumerate() {
                let (center, scale) = (constants.center as f32, constants.scale as f32);
                let reverse = self.reverse[target];
                prediction.slice_mut(s![window, .., ..]).mapv_inplace(|value| {
                    let scaled = value * scale + center;
                    reverse.map_or(scaled, |transformation| transformation.reverse(scaled))
                });
            }
        }
        Ok(predictions)
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

/// The constants of a target that is scaled by each window's own encoder part; none for other normalisers.
fn own_constants(
    normalizer: &Normalizer,
    rows: &Rows,
    window: &Window,
    target: &str,
) -> Result<Option<CenterScale>, Error> {
    let Normalizer::EncoderNormalizer { method, center, transformation, .. } = normalizer else {
        return Ok(None);
    };
    let values = rows.reals(target)?;
    let transform = |&row: &usize| transformation.map_or(values[row], |t| t.forward(values[row]));
    let encoder: Vec<f64> = window.rows[..window.encoder_length].iter().map(transform).collect();
    Ok(Some(window_constants(method, *center, &encoder)))
}

fn normalizer_problem(normalizer: &Normalizer) -> Option<String> {
    match normalizer {
        Normalizer::GroupNormalizer { norm, missing, .. } => {
            norm.problem().or_else(|| missing.and_then(CenterScale::problem)).or_else(|| {
                let needs_missing = matches!(norm, GroupNorm::PerGroup { .. }) && missing.is_none();
                needs_missing.then(|| "has no constants for unknown groups".to_owned())
            })
        }
        Normalizer::EncoderNormalizer { method, .. }
            if !["standard", "robust", "identity"].contains(&method.as_str()) =>
        {
            Some(format!("has the unknown method `{method}`"))
        }
        Normalizer::EncoderNormalizer { max_length: Some(length), .. } => {
            Some(format!("has max_length {length}, which is not supported"))
        }
        Normalizer::EncoderNormalizer { method_kwargs, .. } if !method_kwargs.is_empty() => {
            Some("has method_kwargs, which are not supported".to_owned())
        }
        other => other.fitted(&[]).problem(),
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
