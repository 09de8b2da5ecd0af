//! The constants that inputs are scaled with and outputs scaled back with.

use std::collections::{BTreeMap, BTreeSet};

use super::DatasetEncoding;
use super::window::Window;
use crate::error::Error;
use crate::model::encoding::normalizer::{CenterScale, Normalizer, window_constants};
use crate::model::encoding::rows::Rows;

impl DatasetEncoding {
    /// The constants that inputs are scaled with: found by the codes of the encoders that users see.
    pub(super) fn visible_constants(
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
    pub(super) fn target_scales(
        &self,
        rows: &Rows,
        windows: &[Window],
    ) -> Result<Vec<Vec<CenterScale>>, Error> {
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
}

/// The constants of a target that is scaled by each window's own encoder part; none for other normalisers.
pub(super) fn own_constants(
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
