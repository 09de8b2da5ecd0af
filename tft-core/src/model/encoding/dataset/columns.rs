//! The columns of a window, encoded: what the network sees of raw rows.

use super::scales::own_constants;
use super::window::Window;
use super::{DatasetEncoding, DatasetError};
use crate::error::Error;
use crate::model::encoding::normalizer::{Normalizer, window_constants};
use crate::model::encoding::rows::Rows;

impl DatasetEncoding {
    /// The values of every real column, `[step][column]`.
    pub(super) fn real_columns(&self, rows: &Rows, window: &Window) -> Result<Vec<Vec<f32>>, Error> {
        let mut steps = vec![Vec::with_capacity(self.reals.len()); window.rows.len()];
        for name in &self.reals {
            let values = self.real_column(rows, window, name)?;
            for (step, value) in steps.iter_mut().zip(values) {
                step.push(value as f32);
            }
        }
        Ok(steps)
    }

    /// The class codes of every categorical column, `[step][column]`.
    pub(super) fn categorical_columns(&self, rows: &Rows, window: &Window) -> Result<Vec<Vec<u32>>, Error> {
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
}
