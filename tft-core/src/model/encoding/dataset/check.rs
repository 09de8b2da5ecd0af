//! The check that a data-set encoding is consistent and fits its network.

use super::{DatasetEncoding, DatasetError};
use crate::error::Error;
use crate::model::architecture::Architecture;
use crate::model::encoding::normalizer::{CenterScale, GroupNorm, Normalizer};

impl DatasetEncoding {
    pub(in crate::model::encoding) fn validate(&self, architecture: &Architecture) -> Result<(), Error> {
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
        let classes_of = architecture.column_classes();
        for name in &self.flat_categoricals {
            let classes = classes_of.get(name.as_str()).copied().unwrap_or(usize::MAX);
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
