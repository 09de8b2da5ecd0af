//! The variable selection of one side, encoder or decoder, window by window.

use std::ops::Range;

use ndarray::{ArrayView2, s};

use super::lines::{CommonLine, LineWriter, StaleRows, WindowInputs, scratch_of};
use super::series::{SeriesMemory, Update};
use crate::engine::kernels::selection::SelectionInput;
use crate::engine::plan::SelectionPlan;
use crate::engine::rows::{GroupWork, RowShape, group, group_mut};
use crate::engine::simd::{Simd, floats};
use crate::engine::stream::{Slot, StreamCache};
use crate::model::TensorBatch;

/// The inputs of one side of a batch.
pub(super) struct SideInputs<'a> {
    batch: &'a TensorBatch,
    side: usize,
}

/// The buffers of one side, kept from pass to pass.
#[derive(Debug)]
pub(super) struct Side<S> {
    shape: RowShape,
    hidden: usize,
    /// The inputs of a window of which nothing is kept, and of another one to compare with.
    windows: [WindowInputs<S>; 2],
    /// By real variable.
    common: Vec<CommonLine<S>>,
    stale: Vec<StaleRows>,
    codes: Vec<u32>,
    code_columns: usize,
    weights: Vec<S>,
    scratch: [Vec<S>; 3],
}

struct SelectGroups<'a, S> {
    plan: &'a SelectionPlan,
    side: SideBuffers<'a, S>,
    memory: Option<&'a SeriesMemory<S>>,
    context: &'a [f32],
    selected: &'a mut [S],
}

/// What a selection reads and writes of a side.
struct SideBuffers<'a, S> {
    inputs: &'a WindowInputs<S>,
    common: &'a [CommonLine<S>],
    codes: &'a [u32],
    code_columns: usize,
    hidden: usize,
    weights: &'a mut [S],
    scratch: &'a mut [Vec<S>; 3],
}

impl<'a> SideInputs<'a> {
    /// The encoder's or the decoder's inputs of each batch.
    pub(super) fn both(batch: &'a TensorBatch) -> [Self; 2] {
        [0, 1].map(|side| Self { batch, side })
    }

    /// A window's reals, `[step][column]`, and its valid steps.
    pub(super) fn reals(&self, window: usize) -> (ArrayView2<'a, f32>, usize) {
        let reals = if self.side == 0 { &self.batch.encoder_reals } else { &self.batch.decoder_reals };
        (reals.slice(s![window, .., ..]), self.length(window))
    }

    /// A window's class codes, `[step][column]`.
    fn codes(&self, window: usize) -> ArrayView2<'a, u32> {
        let batch = self.batch;
        let codes = if self.side == 0 { &batch.encoder_categoricals } else { &batch.decoder_categoricals };
        codes.slice(s![window, .., ..])
    }

    fn length(&self, window: usize) -> usize {
        let batch = self.batch;
        if self.side == 0 { batch.encoder_lengths[window] } else { batch.decoder_lengths[window] }
    }
}

impl<S: Simd> Side<S> {
    pub(super) fn new(plan: &SelectionPlan, hidden: usize, shape: RowShape) -> Self {
        let zeros = |count: usize| vec![S::splat(0.0); count];
        let width = plan.widest().max(hidden);
        let variables = plan.columns.len();
        Self {
            shape,
            hidden,
            windows: std::array::from_fn(|_| WindowInputs::new(variables, shape)),
            common: (0..variables).map(|_| CommonLine::new()).collect(),
            stale: vec![StaleRows::default(); variables],
            codes: Vec::new(),
            code_columns: 0,
            weights: zeros(plan.count() * shape.vectors),
            scratch: std::array::from_fn(|_| zeros(width * 4)),
        }
    }

    /// Looks for variables of which two windows have the same values: the others may have them too.
    #[inline(always)]
    pub(super) fn look_for_common<const G: usize>(
        &mut self,
        plan: &SelectionPlan,
        inputs: &SideInputs<'_>,
        windows: Range<usize>,
        shape: impl Fn(usize) -> RowShape,
    ) {
        let Some(alike) = two_alike(windows, |window| (inputs.length(window), shape(window))) else { return };
        let [one, two] = &mut self.windows;
        for (held, window) in [&mut *one, &mut *two].into_iter().zip(alike) {
            held.read(&plan.columns, shape(window), inputs.reals(window), |_, _| {});
        }
        one.compare(self.shape, &self.common);
        for (variable, real) in plan.reals.iter().enumerate() {
            if !one.is_common[variable] && one.repeats(two, self.shape, variable) {
                let (hidden, shape) = (self.hidden, self.shape);
                let mut writer = LineWriter { real, hidden, shape, scratch: &mut self.scratch };
                self.common[variable].follow::<G>(&mut writer, one, variable, &mut self.stale[variable].rows);
            }
        }
    }

    /// Brings what is kept of the series of some windows up to date.
    #[inline(always)]
    pub(super) fn update<const G: usize>(
        &mut self,
        (plan_id, plan): (u64, &SelectionPlan),
        (inputs, first): (&SideInputs<'_>, usize),
        cache: &StreamCache,
        shapes: impl Fn(usize) -> RowShape,
        slots: &mut [Slot],
    ) {
        let mut update = Update {
            plan_id,
            plan,
            hidden: self.hidden,
            cache,
            common: &self.common,
            scratch: &mut self.scratch,
            stale: &mut self.stale,
        };
        update.run::<G>(inputs, first, shapes, slots);
    }

    /// Selects the variables of every step of a window; its reals come from the memory of its series, if any.
    #[inline(always)]
    pub(super) fn select<const G: usize>(
        &mut self,
        plan: &SelectionPlan,
        (inputs, window): (&SideInputs<'_>, usize),
        shape: RowShape,
        memory: Option<&SeriesMemory<S>>,
        context: &[f32],
        selected: &mut [S],
    ) {
        self.read_codes(inputs, window, shape);
        let [own, _] = &mut self.windows;
        if memory.is_none() {
            own.read(&plan.columns, shape, inputs.reals(window), |_, _| {});
            own.compare(shape, &self.common);
        }
        let side = SideBuffers {
            inputs: memory.map_or(own, |memory| &memory.inputs),
            common: &self.common,
            codes: &self.codes,
            code_columns: self.code_columns,
            hidden: self.hidden,
            weights: &mut self.weights,
            scratch: &mut self.scratch,
        };
        shape.each_group::<S, G>(&mut SelectGroups { plan, side, memory, context, selected });
    }

    #[inline(always)]
    fn read_codes(&mut self, inputs: &SideInputs<'_>, window: usize, shape: RowShape) {
        let codes = inputs.codes(window);
        self.code_columns = codes.ncols();
        self.codes.clear();
        self.codes.resize(shape.steps * self.code_columns, 0);
        for (step, codes) in codes.rows().into_iter().take(inputs.length(window)).enumerate() {
            let of_row = &mut self.codes[shape.row_of(step) * self.code_columns..];
            of_row.iter_mut().zip(codes).for_each(|(held, &code)| *held = code);
        }
    }

    /// Writes the weights `[step][variable]` of the window to its part of the output.
    #[inline(always)]
    pub(super) fn report(&self, plan: &SelectionPlan, shape: RowShape, window: usize, out: &mut [f32]) {
        let count = plan.count();
        let size = shape.steps * count;
        let Some(out) = out.get_mut(window * size..(window + 1) * size) else { return };
        let weights = floats(&self.weights);
        for (step, out) in out.chunks_exact_mut(count.max(1)).enumerate() {
            let place = shape.place(count, step);
            for (variable, out) in out.iter_mut().enumerate() {
                *out = weights[place.start + variable * place.stride];
            }
        }
    }
}

impl<S: Simd> GroupWork<S> for SelectGroups<'_, S> {
    #[inline(always)]
    fn run<const R: usize>(&mut self, row: usize) {
        let (plan, side) = (self.plan, &mut self.side);
        let (hidden, inputs) = (side.hidden, side.inputs);
        let input = SelectionInput {
            reals: group(&inputs.reals, plan.columns.len(), row),
            codes: side.codes.get(row * S::LANES * side.code_columns..).unwrap_or_default(),
            code_columns: side.code_columns,
            context: (!self.context.is_empty()).then_some(self.context),
        };
        let known = |variable: usize| -> Option<&[[S; R]]> {
            if inputs.is_common[variable] {
                return Some(group(&side.common[variable].outputs, hidden, row));
            }
            let line = self.memory.and_then(|memory| memory.lines[variable].as_ref());
            line.map(|line| group(line, hidden, row))
        };
        let mut scratch = scratch_of::<S, R>(side.scratch);
        let weights = group_mut(side.weights, plan.count(), row);
        let selected = group_mut(self.selected, hidden, row);
        plan.apply(&input, &mut scratch, known, weights, selected);
    }
}

/// Two windows of the greatest length that lie in the same rows.
fn two_alike(windows: Range<usize>, steps: impl Fn(usize) -> (usize, RowShape)) -> Option<[usize; 2]> {
    let longest = windows.clone().map(|window| steps(window).0).max()?;
    let mut long = windows.filter(|&window| steps(window).0 == longest);
    let one = long.next()?;
    let two = long.find(|&window| steps(window).1 == steps(one).1)?;
    Some([one, two])
}
