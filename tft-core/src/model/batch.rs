//! What goes into a network and what comes out, as plain arrays.
//!
//! Owns the border between encodings and executors: an encoding makes a [`TensorBatch`], every executor
//! turns one into a [`NetworkOutput`].

use ndarray::{Array2, Array3, Array4};

use super::architecture::Architecture;
use crate::error::{Error, ErrorKind};

/// A batch of encoded windows.
///
/// # Shapes
/// B windows, L encoder steps, D decoder steps. A window shorter than L or D has its valid steps first and
/// anything after them; the decoder always starts at its own step 0.
#[derive(Debug, Clone)]
pub struct TensorBatch {
    /// `[B, L, reals]` in the order of [`Architecture::x_reals`].
    pub encoder_reals: Array3<f32>,
    /// `[B, L, categoricals]` in the order of [`Architecture::x_categoricals`]: class codes.
    pub encoder_categoricals: Array3<u32>,
    /// `[B, D, reals]`.
    pub decoder_reals: Array3<f32>,
    /// `[B, D, categoricals]`.
    pub decoder_categoricals: Array3<u32>,
    /// Valid encoder steps of each window, 1 to L.
    pub encoder_lengths: Vec<usize>,
    /// Valid decoder steps of each window, 1 to D.
    pub decoder_lengths: Vec<usize>,
}

/// What a network answers for a batch.
///
/// # Units
/// Those of the normalised target: not yet scaled back, quantiles not sorted.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct NetworkOutput {
    /// For each target `[B, D, quantiles]`.
    pub targets: Vec<Array3<f32>>,
    /// Attention of each decoder step to encoder steps, `[B, D, heads, L]`.
    pub encoder_attention: Array4<f32>,
    /// Attention of each decoder step to decoder steps, `[B, D, heads, D]`.
    pub decoder_attention: Array4<f32>,
    /// Selection weights of the static variables, `[B, variables]`.
    pub static_weights: Array2<f32>,
    /// Selection weights of the encoder variables, `[B, L, variables]`.
    pub encoder_weights: Array3<f32>,
    /// Selection weights of the decoder variables, `[B, D, variables]`.
    pub decoder_weights: Array3<f32>,
}

#[derive(Debug, thiserror::Error)]
enum BatchError {
    #[error("batch.{field} has shape {found:?}, expected {expected:?}")]
    Shape { field: &'static str, found: Vec<usize>, expected: Vec<usize> },
    #[error("batch.{field} of window {window} is {value}, allowed are 1 to {max}")]
    Length { field: &'static str, window: usize, value: usize, max: usize },
    #[error("batch.{field} holds {value} for `{variable}` in window {window}, step {step}")]
    NotFinite { field: &'static str, variable: String, window: usize, step: usize, value: f32 },
    #[error("batch.{field} holds class {code} of `{variable}` in window {window}, it has {classes} classes")]
    Class { field: &'static str, variable: String, window: usize, code: u32, classes: usize },
}

impl TensorBatch {
    /// Returns the number of windows, B.
    pub fn windows(&self) -> usize {
        self.encoder_reals.dim().0
    }

    /// Returns the longest encoder, L.
    pub fn encoder_steps(&self) -> usize {
        self.encoder_reals.dim().1
    }

    /// Returns the longest decoder, D.
    pub fn decoder_steps(&self) -> usize {
        self.decoder_reals.dim().1
    }

    /// Checks every shape, length, class code and value against an architecture.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidInput`] naming the first field, window and value at fault.
    pub fn validate(&self, architecture: &Architecture) -> Result<(), Error> {
        self.validate_shapes(architecture)?;
        let (longest_encoder, longest_decoder) = (self.encoder_steps(), self.decoder_steps());
        validate_lengths("encoder_lengths", &self.encoder_lengths, longest_encoder)?;
        validate_lengths("decoder_lengths", &self.decoder_lengths, longest_decoder)?;
        let (encoder, decoder) = (&self.encoder_reals, &self.decoder_reals);
        validate_reals("encoder_reals", encoder, &self.encoder_lengths, architecture)?;
        validate_reals("decoder_reals", decoder, &self.decoder_lengths, architecture)?;
        validate_codes("encoder_categoricals", &self.encoder_categoricals, architecture)?;
        validate_codes("decoder_categoricals", &self.decoder_categoricals, architecture)
    }

    fn validate_shapes(&self, architecture: &Architecture) -> Result<(), Error> {
        let (windows, encoder_steps) = (self.windows(), self.encoder_steps());
        let decoder_steps = self.decoder_steps();
        let (reals, categoricals) = (architecture.x_reals.len(), architecture.x_categoricals.len());
        let shapes: [(&'static str, &[usize], [usize; 3]); 4] = [
            ("encoder_reals", self.encoder_reals.shape(), [windows, encoder_steps, reals]),
            ("decoder_reals", self.decoder_reals.shape(), [windows, decoder_steps, reals]),
            (
                "encoder_categoricals",
                self.encoder_categoricals.shape(),
                [windows, encoder_steps, categoricals],
            ),
            (
                "decoder_categoricals",
                self.decoder_categoricals.shape(),
                [windows, decoder_steps, categoricals],
            ),
        ];
        for (field, found, expected) in shapes {
            check_shape(field, found, &expected)?;
        }
        check_shape("encoder_lengths", &[self.encoder_lengths.len()], &[windows])?;
        check_shape("decoder_lengths", &[self.decoder_lengths.len()], &[windows])
    }
}

impl From<BatchError> for Error {
    fn from(error: BatchError) -> Self {
        Self::new(ErrorKind::InvalidInput, error)
    }
}

fn check_shape(field: &'static str, found: &[usize], expected: &[usize]) -> Result<(), Error> {
    if found == expected {
        return Ok(());
    }
    Err(BatchError::Shape { field, found: found.to_vec(), expected: expected.to_vec() }.into())
}

fn validate_lengths(field: &'static str, lengths: &[usize], max: usize) -> Result<(), Error> {
    match lengths.iter().position(|length| !(1..=max).contains(length)) {
        Some(window) => Err(BatchError::Length { field, window, value: lengths[window], max }.into()),
        None => Ok(()),
    }
}

fn validate_reals(
    field: &'static str,
    reals: &Array3<f32>,
    lengths: &[usize],
    architecture: &Architecture,
) -> Result<(), Error> {
    for ((window, step, column), &value) in reals.indexed_iter() {
        if step < lengths[window] && !value.is_finite() {
            let variable = architecture.x_reals[column].clone();
            return Err(BatchError::NotFinite { field, variable, window, step, value }.into());
        }
    }
    Ok(())
}

fn validate_codes(
    field: &'static str,
    codes: &Array3<u32>,
    architecture: &Architecture,
) -> Result<(), Error> {
    for ((window, _, column), &code) in codes.indexed_iter() {
        let variable = &architecture.x_categoricals[column];
        let (classes, _) = architecture.embedding(variable);
        if code as usize >= classes {
            let variable = variable.clone();
            return Err(BatchError::Class { field, variable, window, code, classes }.into());
        }
    }
    Ok(())
}
