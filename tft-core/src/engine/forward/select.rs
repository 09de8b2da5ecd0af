//! The variable selection of one side, encoder or decoder, of one window.

use ndarray::s;

use super::WindowRows;
use crate::engine::kernels::selection::{SelectionInput, SelectionScratch, SharedVariable, Sharing};
use crate::engine::plan::SelectionPlan;
use crate::engine::rows::{GroupWork, RowShape, group, group_mut};
use crate::engine::simd::{Simd, floats, floats_mut};
use crate::model::TensorBatch;

/// The buffers of one side.
pub(super) struct Side<'a, S> {
    plan: &'a SelectionPlan,
    shape: RowShape,
    reals: Vec<S>,
    codes: Vec<u32>,
    code_columns: usize,
    weights: Vec<S>,
    shared: Vec<SharedVariable<S>>,
    hidden: usize,
    scratch: [Vec<S>; 3],
}

struct SelectGroups<'a, 'p, S> {
    side: &'a mut Side<'p, S>,
    context: &'a [f32],
    selected: &'a mut [S],
}

impl<'p, S: Simd> Side<'p, S> {
    #[inline(always)]
    pub(super) fn new(plan: &'p SelectionPlan, hidden: usize, shape: RowShape) -> Self {
        let zeros = |count: usize| vec![S::splat(0.0); count];
        let width = plan.widest().max(hidden);
        Self {
            plan,
            shape,
            reals: zeros(plan.columns.len() * shape.vectors),
            codes: Vec::new(),
            code_columns: 0,
            weights: zeros(plan.count() * shape.vectors),
            shared: vec![SharedVariable { outputs: Vec::new(), state: Sharing::New }; plan.reals.len()],
            hidden,
            scratch: std::array::from_fn(|_| zeros(width * 4)),
        }
    }

    /// Selects the variables of every step of a window; `side` is 0 for the encoder, 1 for the decoder.
    #[inline(always)]
    pub(super) fn select<const G: usize>(
        &mut self,
        batch: &TensorBatch,
        window: usize,
        context: &[f32],
        rows: &mut WindowRows<S>,
        side: usize,
    ) {
        self.read(batch, window, side);
        let shape = self.shape;
        let mut work = SelectGroups { side: self, context, selected: &mut rows.selected[side] };
        shape.each_group::<S, G>(&mut work);
    }

    /// Copies the window's inputs; what lies beyond its length is 0.
    #[inline(always)]
    fn read(&mut self, batch: &TensorBatch, window: usize, side: usize) {
        let (reals, codes, length) = if side == 0 {
            (&batch.encoder_reals, &batch.encoder_categoricals, batch.encoder_lengths[window])
        } else {
            (&batch.decoder_reals, &batch.decoder_categoricals, batch.decoder_lengths[window])
        };
        let columns = &self.plan.columns;
        let out = floats_mut(&mut self.reals);
        let mut repeats = vec![true; columns.len()];
        for (step, values) in reals.slice(s![window, .., ..]).rows().into_iter().enumerate() {
            let place = self.shape.place(columns.len(), step);
            for (real, &column) in columns.iter().enumerate() {
                let value = if step < length { values[column] } else { 0.0 };
                let held = &mut out[place.start + real * place.stride];
                repeats[real] &= held.to_bits() == value.to_bits();
                *held = value;
            }
        }
        self.share(&repeats);
        self.code_columns = codes.dim().2;
        let (valid, columns) = (length * self.code_columns, self.shape.steps * self.code_columns);
        self.codes.clear();
        self.codes.extend(codes.slice(s![window, .., ..]).iter().take(valid));
        self.codes.resize(columns, 0);
    }

    /// Notes which variables have the values that they had in the window before.
    #[inline(always)]
    fn share(&mut self, repeats: &[bool]) {
        for (shared, &repeats) in self.shared.iter_mut().zip(repeats) {
            shared.state = match (repeats, shared.state) {
                (false, _) => Sharing::New,
                (true, Sharing::New) => Sharing::Keep,
                (true, Sharing::Keep | Sharing::Kept) => Sharing::Kept,
            };
            if shared.state == Sharing::Keep && shared.outputs.is_empty() {
                shared.outputs = vec![S::splat(0.0); self.hidden * self.shape.vectors];
            }
        }
    }

    /// Writes the weights `[step][variable]` of the window to its part of the output.
    #[inline(always)]
    pub(super) fn report(&self, window: usize, out: &mut [f32]) {
        let count = self.plan.count();
        let size = self.shape.steps * count;
        let Some(out) = out.get_mut(window * size..(window + 1) * size) else { return };
        let weights = floats(&self.weights);
        for (step, out) in out.chunks_exact_mut(count.max(1)).enumerate() {
            let place = self.shape.place(count, step);
            for (variable, out) in out.iter_mut().enumerate() {
                *out = weights[place.start + variable * place.stride];
            }
        }
    }
}

impl<S: Simd> GroupWork<S> for SelectGroups<'_, '_, S> {
    #[inline(always)]
    fn run<const R: usize>(&mut self, row: usize) {
        let side = &mut *self.side;
        let [hidden, skip, unit] = &mut side.scratch;
        let mut scratch = SelectionScratch {
            hidden: hidden.as_chunks_mut::<R>().0,
            skip: skip.as_chunks_mut::<R>().0,
            unit: unit.as_chunks_mut::<R>().0,
        };
        let input = SelectionInput {
            reals: group(&side.reals, side.plan.columns.len(), row),
            codes: side.codes.get(row * S::LANES * side.code_columns..).unwrap_or_default(),
            code_columns: side.code_columns,
            context: (!self.context.is_empty()).then_some(self.context),
        };
        let weights = group_mut(&mut side.weights, side.plan.count(), row);
        let selected = group_mut(self.selected, side.hidden, row);
        side.plan.apply(&input, &mut scratch, (&mut side.shared, row), weights, selected);
    }
}
