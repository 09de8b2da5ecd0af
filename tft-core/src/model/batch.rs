//! What goes into a network and what comes out, as plain arrays.
//!
//! Owns the border between encodings and executors: an encoding makes a [`TensorBatch`], every executor
//! turns one into a [`NetworkOutput`].

use ndarray::{Array2, Array3, Array4, s};

use super::architecture::Architecture;
use crate::error::{Error, ErrorKind};
use crate::problems::Problems;

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
#[derive(Debug, Clone, Default)]
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

/// The steps of one side of a batch.
struct Side<'a> {
    name: &'static str,
    reals: &'a Array3<f32>,
    categoricals: &'a Array3<u32>,
    lengths: &'a [usize],
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
    /// [`ErrorKind::InvalidInput`] naming every field, window, step, variable and value at fault; the values
    /// are only looked at where the shapes and lengths are right.
    pub fn validate(&self, architecture: &Architecture) -> Result<(), Error> {
        self.validate_with(architecture, &architecture.classes_by_column())
    }

    /// As [`validate`](Self::validate), with the [classes](Architecture::classes_by_column) of each column.
    pub(crate) fn validate_with(
        &self,
        architecture: &Architecture,
        classes: &[Option<usize>],
    ) -> Result<(), Error> {
        let mut problems = Problems::default();
        self.sides().iter().for_each(|side| side.check_shapes(self.windows(), architecture, &mut problems));
        if problems.is_empty() {
            self.sides().iter().for_each(|side| side.check_lengths(&mut problems));
        }
        if problems.is_empty() {
            self.sides().iter().for_each(|side| side.check_values(architecture, classes, &mut problems));
        }
        problems.into_result(ErrorKind::InvalidInput, "the batch does not fit the network")
    }

    fn sides(&self) -> [Side<'_>; 2] {
        [
            Side {
                name: "encoder",
                reals: &self.encoder_reals,
                categoricals: &self.encoder_categoricals,
                lengths: &self.encoder_lengths,
            },
            Side {
                name: "decoder",
                reals: &self.decoder_reals,
                categoricals: &self.decoder_categoricals,
                lengths: &self.decoder_lengths,
            },
        ]
    }
}

impl Side<'_> {
    fn check_shapes(&self, windows: usize, architecture: &Architecture, problems: &mut Problems) {
        let steps = self.reals.dim().1;
        let (reals, categoricals) = (architecture.x_reals.len(), architecture.x_categoricals.len());
        let shapes: [(&str, &[usize], &[usize]); 3] = [
            ("reals", self.reals.shape(), &[windows, steps, reals]),
            ("categoricals", self.categoricals.shape(), &[windows, steps, categoricals]),
            ("lengths", &[self.lengths.len()], &[windows]),
        ];
        for (part, found, expected) in shapes.into_iter().filter(|(_, found, expected)| found != expected) {
            let name = self.name;
            problems.push(format_args!("batch.{name}_{part} has shape {found:?}, expected {expected:?}"));
        }
    }

    fn check_lengths(&self, problems: &mut Problems) {
        let (name, max) = (self.name, self.reals.dim().1);
        for (window, &length) in self.lengths.iter().enumerate() {
            let field = format_args!("batch.{name}_lengths of window {window}");
            match length {
                0 => problems.push(format_args!("{field} is 0, the network needs at least one {name} step")),
                length if length > max => {
                    problems.push(format_args!("{field} is {length}, the batch has {max} steps"));
                }
                _ => {}
            }
        }
    }

    fn check_values(&self, architecture: &Architecture, classes: &[Option<usize>], problems: &mut Problems) {
        let name = self.name;
        let all_finite = self.reals.as_slice().is_some_and(are_finite);
        let looked_at = if all_finite { self.reals.slice(s![..0, .., ..]) } else { self.reals.view() };
        for ((window, step, column), value) in looked_at.indexed_iter() {
            if !value.is_finite() && step < self.lengths[window] {
                let variable = &architecture.x_reals[column];
                problems.push(format_args!(
                    "batch.{name}_reals holds {value} for `{variable}` in window {window}, step {step}"
                ));
            }
        }
        for ((window, step, column), &code) in self.categoricals.indexed_iter() {
            let Some(classes) = classes[column] else { continue };
            if code as usize >= classes && step < self.lengths[window] {
                let variable = &architecture.x_categoricals[column];
                problems.push(format_args!(
                    "batch.{name}_categoricals holds class {code} of `{variable}` in window {window}, step \
                     {step}, it has {classes} classes"
                ));
            }
        }
    }
}

/// Counts before it compares, so that it runs at the speed of memory.
fn are_finite(values: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    values.iter().filter(|value| value.to_bits() & EXPONENT == EXPONENT).count() == 0
}
