//! The check that a data-set encoding is consistent and fits its network.

use std::fmt::Display;

use super::{DatasetEncoding, FillValue};
use crate::model::architecture::Architecture;
use crate::model::encoding::normalizer::{GroupNorm, Normalizer};
use crate::problems::Problems;

impl DatasetEncoding {
    /// Collects what is wrong with an encoding for a network whose own shape is in order.
    pub(in crate::model::encoding) fn check(&self, architecture: &Architecture, problems: &mut Problems) {
        let mut found = Found { problems };
        self.check_columns(architecture, &mut found);
        self.check_lengths(architecture, &mut found);
        self.check_lags(&mut found);
        self.check_normalizers(architecture, &mut found);
        self.check_groups(&mut found);
        self.check_encoders(architecture, &mut found);
        self.check_fills(&mut found);
    }

    fn check_columns(&self, architecture: &Architecture, found: &mut Found<'_>) {
        let columns = [
            ("reals", &self.reals, &architecture.x_reals),
            ("flat_categoricals", &self.flat_categoricals, &architecture.x_categoricals),
        ];
        for (field, own, expected) in columns {
            if own != expected {
                found.add(field, format!("{own:?} differ from the architecture's {expected:?}"));
            }
        }
    }

    fn check_lengths(&self, architecture: &Architecture, found: &mut Found<'_>) {
        let lengths = [
            ("min_encoder_length", self.min_encoder_length, 0, self.max_encoder_length),
            ("max_encoder_length", self.max_encoder_length, 1, architecture.max_encoder_length),
            ("max_prediction_length", self.max_prediction_length, 1, Architecture::LENGTH_MAX),
        ];
        for (field, length, min, max) in lengths {
            if !(min..=max).contains(&length) {
                found.add(field, format!("is {length}, allowed are {min} to {max}"));
            }
        }
    }

    fn check_lags(&self, found: &mut Found<'_>) {
        for (variable, lags) in &self.lags {
            for lag in lags.iter().filter(|lag| !(1..=Architecture::LENGTH_MAX).contains(*lag)) {
                let allowed = Architecture::LENGTH_MAX;
                found.add("lags", format!("has {lag} for `{variable}`, allowed are 1 to {allowed}"));
            }
        }
    }

    fn check_normalizers(&self, architecture: &Architecture, found: &mut Found<'_>) {
        let (normalizers, targets) = (self.normalizers().len(), self.targets.len());
        let expected = architecture.targets();
        if normalizers != targets || targets != expected {
            found.add(
                "target_normalizer",
                format!("has {normalizers} normalisers for {targets} targets of a network with {expected}"),
            );
        }
        let scalers = self.scalers.iter().filter_map(|(name, scaler)| Some((name, scaler.as_ref()?)));
        for (name, normalizer) in self.targets.iter().zip(self.normalizers()).chain(scalers) {
            if let Some(problem) = normalizer.problem() {
                found.add(&format!("normalizer of `{name}`"), problem);
            }
        }
    }

    /// The reference looks a target's constants up with the codes of the group variables, so a table must
    /// be of such variables.
    fn check_groups(&self, found: &mut Found<'_>) {
        for (target, normalizer) in self.targets.iter().zip(self.normalizers()) {
            let Normalizer::GroupNormalizer { norm, .. } = normalizer else { continue };
            let groups = normalizer.groups();
            let foreign: Vec<_> = groups.iter().filter(|name| !self.group_ids.contains(name)).collect();
            if !foreign.is_empty() {
                let problem = format!("is grouped by {foreign:?}, which are not among the group_ids");
                found.add(&format!("normalizer of `{target}`"), problem);
            }
            let is_partial = groups.len() > 1 && groups.len() < self.group_ids.len();
            if is_partial && matches!(norm, GroupNorm::PerGroup(_)) {
                let problem = format!("is grouped by {groups:?} of the group_ids {:?}", self.group_ids);
                found.add(&format!("normalizer of `{target}`"), problem);
            }
        }
    }

    fn check_encoders(&self, architecture: &Architecture, found: &mut Found<'_>) {
        let classes_of = architecture.column_classes();
        for column in &self.flat_categoricals {
            let (variable, _) = self.base(column);
            if self.targets.iter().any(|target| target == variable) {
                found.add("targets", format!("has the categorical `{variable}`, which cannot be forecast"));
                continue;
            }
            let Some(encoder) = self.encoder(variable) else {
                found.add("categorical_encoders", format!("has no entry for `{variable}`"));
                continue;
            };
            let Some(&classes) = classes_of.get(column.as_str()) else { continue };
            if encoder.class_count() > classes {
                let own = encoder.class_count();
                let problem = format!("has {own} classes of `{variable}`, its embedding has {classes}");
                found.add("categorical_encoders", problem);
            }
        }
    }

    fn check_fills(&self, found: &mut Found<'_>) {
        const FIELD: &str = "constant_fill_strategy";
        for (column, fill) in &self.constant_fill_strategy {
            let is_categorical = self.flat_categoricals.contains(column);
            let is_number = fill.number().is_some();
            if is_categorical == is_number {
                let expected = if is_categorical { "a label" } else { "a number" };
                found.add(FIELD, format!("of `{column}` is {fill:?}, expected {expected}"));
            }
            let is_known = is_categorical || self.reals.contains(column) || self.targets.contains(column);
            if !is_known {
                found.add(FIELD, format!("names `{column}`, which is no variable"));
            }
            let scaler = self.scalers.get(column).and_then(Option::as_ref);
            if scaler.is_some_and(|scaler| scaler.encoder_fit().is_some()) {
                let problem = format!("of `{column}` is not supported beside an EncoderNormalizer");
                found.add(FIELD, problem);
            }
            self.check_fill_label(column, fill, found);
        }
    }

    fn check_fill_label(&self, column: &str, fill: &FillValue, found: &mut Found<'_>) {
        let encoder = self.encoder(self.base(column).0);
        let (Some(label), Some(encoder)) = (fill.label(), encoder) else { return };
        if encoder.code(label).is_none() {
            found.add("constant_fill_strategy", format!("of `{column}` is the unknown class `{label}`"));
        }
    }
}

/// Problems of fields of the encoding.
struct Found<'a> {
    problems: &'a mut Problems,
}

impl Found<'_> {
    fn add(&mut self, field: &str, problem: impl Display) {
        self.problems.push(format!("encoding.{field} {problem}"));
    }
}
