//! A batch on the device, and the embeddings and prescalers that all selection networks share.

use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};
use ndarray::Array3;

use crate::model::batch::TensorBatch;

/// A batch on the device, its encoder and decoder rows flattened.
pub(super) struct Inputs {
    pub(super) windows: usize,
    pub(super) encoder: Rows,
    pub(super) decoder: Rows,
}

/// The steps of one side.
pub(super) struct Rows {
    pub(super) steps: usize,
    pub(super) lengths: Vec<usize>,
    /// `[windows·steps, columns]`
    pub(super) reals: Tensor<2>,
    /// `[windows·steps, columns]`
    pub(super) categoricals: Tensor<2, Int>,
}

/// The embeddings and prescalers that all selection networks share.
#[derive(Module, Debug)]
pub(super) struct SharedInputs {
    /// In the order of the names of variables.
    pub(super) embeddings: Vec<Embedding>,
    /// The reals by the width to which they expand.
    pub(super) prescalers: Vec<Prescalers>,
}

/// The table of a categorical variable, or of a group of columns whose rows of the table are summed.
#[derive(Module, Debug)]
pub(super) struct Embedding {
    /// `[classes, width]`
    pub(super) table: Param<Tensor<2>>,
    /// Columns of the categorical inputs, at least one.
    #[module(skip)]
    pub(super) columns: Vec<usize>,
}

/// `Linear(1 → width)` for each of R reals.
#[derive(Module, Debug)]
pub(super) struct Prescalers {
    /// `[R, 1, width]`
    pub(super) weight: Param<Tensor<3>>,
    /// `[R, 1, width]`
    pub(super) bias: Param<Tensor<3>>,
}

impl Inputs {
    pub(super) fn new(batch: &TensorBatch, device: &Device) -> Self {
        let rows = |reals, categoricals, lengths| Rows::new(reals, categoricals, lengths, device);
        Self {
            windows: batch.windows(),
            encoder: rows(&batch.encoder_reals, &batch.encoder_categoricals, &batch.encoder_lengths),
            decoder: rows(&batch.decoder_reals, &batch.decoder_categoricals, &batch.decoder_lengths),
        }
    }
}

impl Rows {
    fn new(reals: &Array3<f32>, categoricals: &Array3<u32>, lengths: &[usize], device: &Device) -> Self {
        let (windows, steps, columns) = reals.dim();
        let rows = windows * steps;
        let codes: Vec<i32> = zero_padded(categoricals, lengths, |code| code as i32);
        let codes = TensorData::new(codes, [rows, categoricals.dim().2]);
        let reals = TensorData::new(zero_padded(reals, lengths, |value| value), [rows, columns]);
        Self {
            steps,
            lengths: lengths.to_vec(),
            reals: Tensor::from_data(reals, device),
            categoricals: Tensor::from_data(codes, device),
        }
    }

    /// Returns the number of rows, windows times steps.
    pub(super) fn count(&self) -> usize {
        self.lengths.len() * self.steps
    }

    /// Returns each window's first step.
    pub(super) fn first_steps(&self) -> Self {
        let first: Vec<i32> = (0..self.lengths.len()).map(|window| (window * self.steps) as i32).collect();
        let first = Tensor::<1, Int>::from_data(first.as_slice(), &self.reals.device());
        Self {
            steps: 1,
            lengths: vec![1; self.lengths.len()],
            reals: self.reals.clone().select(0, first.clone()),
            categoricals: self.categoricals.clone().select(0, first),
        }
    }

    /// Returns ones where a step is valid, `[windows, steps]`; none if all are.
    pub(super) fn valid_steps(&self) -> Option<Tensor<2>> {
        if self.lengths.iter().all(|&length| length == self.steps) {
            return None;
        }
        let valid = |&length: &usize| (0..self.steps).map(move |step| f32::from(u8::from(step < length)));
        let valid: Vec<f32> = self.lengths.iter().flat_map(valid).collect();
        let shape = [self.lengths.len(), self.steps];
        Some(Tensor::from_data(TensorData::new(valid, shape), &self.reals.device()))
    }

    /// Returns the codes of one column, `[rows]`.
    fn codes(&self, column: usize) -> Tensor<1, Int> {
        self.categoricals.clone().narrow(1, column, 1).squeeze_dim(1)
    }
}

impl Embedding {
    /// Returns the vectors of all rows, `[rows, width]`.
    pub(super) fn forward(&self, rows: &Rows) -> Tensor<2> {
        let vectors = |&column: &usize| self.table.val().select(0, rows.codes(column));
        let first = vectors(&self.columns[0]);
        self.columns[1..].iter().map(vectors).fold(first, |sum, more| sum + more)
    }

    /// Returns the table if every row's vector is one of its rows and it has no more rows than that.
    pub(super) fn table_for(&self, rows: usize) -> Option<Tensor<2>> {
        let is_smaller = self.columns.len() == 1 && self.table.dims()[0] <= rows;
        is_smaller.then(|| self.table.val())
    }

    /// Returns the codes of a variable of one column, `[rows]`.
    pub(super) fn codes(&self, rows: &Rows) -> Tensor<1, Int> {
        rows.codes(self.columns[0])
    }
}

impl Prescalers {
    /// Expands some columns, each with the prescaler of one member: `[columns, rows, width]`.
    pub(super) fn forward(&self, rows: &Rows, columns: &[i32], members: &[i32]) -> Tensor<3> {
        let device = rows.reals.device();
        let columns = Tensor::<1, Int>::from_data(columns, &device);
        let members = Tensor::<1, Int>::from_data(members, &device);
        let values = rows.reals.clone().select(1, columns).transpose().unsqueeze_dim::<3>(2);
        values * self.weight.val().select(0, members.clone()) + self.bias.val().select(0, members)
    }
}

/// Copies values row by row; what lies beyond a window's length becomes 0, whatever it was.
fn zero_padded<T: Copy, U: Default>(values: &Array3<T>, lengths: &[usize], to: impl Fn(T) -> U) -> Vec<U> {
    let padded = |((window, step, _), &value): ((usize, usize, usize), &T)| {
        if step < lengths[window] { to(value) } else { U::default() }
    };
    values.indexed_iter().map(padded).collect()
}
