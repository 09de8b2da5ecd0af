//! Static variables and the contexts that they give (Lim et al. 2021, §4.3): windows in the lanes.

use crate::engine::kernels::selection::{SelectionInput, SelectionScratch};
use crate::engine::outputs::OutputPart;
use crate::engine::plan::Plan;
use crate::engine::rows::{GroupWork, RowShape, group, group_mut};
use crate::engine::simd::{Simd, floats, floats_mut};
use crate::model::TensorBatch;

/// What each window's static variables say, and the buffers to find it out.
#[derive(Debug)]
pub(super) struct Statics<S> {
    pub(super) windows: Vec<WindowContext>,
    reals: Vec<S>,
    codes: Vec<u32>,
    weights: Vec<S>,
    scratch: [Vec<S>; 4],
}

/// The contexts of one window.
#[derive(Debug, Default, Clone)]
pub(super) struct WindowContext {
    /// Added to the hidden layer of the encoder's weighing network.
    pub(super) encoder: Vec<f32>,
    /// Added to the hidden layer of the decoder's weighing network.
    pub(super) decoder: Vec<f32>,
    /// The LSTMs' first hidden state.
    pub(super) hidden: Vec<f32>,
    /// The LSTMs' first cell state.
    pub(super) cell: Vec<f32>,
    /// Added to the hidden layer of the static enrichment.
    pub(super) enrichment: Vec<f32>,
}

/// The static networks, group after group of windows.
struct StaticGroups<'a, S> {
    plan: &'a Plan,
    shape: RowShape,
    code_columns: usize,
    statics: &'a mut Statics<S>,
}

impl<S: Simd> Statics<S> {
    /// Makes buffers for a number of windows.
    pub(super) fn new<const G: usize>(plan: &Plan, windows: usize) -> Self {
        let vectors = RowShape::new::<S>(windows, G).vectors;
        let zeros = |count: usize| vec![S::splat(0.0); count];
        let width = plan.widest().max(plan.statics.count());
        Self {
            windows: vec![WindowContext::default(); windows],
            reals: zeros(plan.statics.columns.len() * vectors),
            codes: Vec::new(),
            weights: zeros(plan.statics.count() * vectors),
            scratch: std::array::from_fn(|_| zeros(width * G)),
        }
    }

    /// Runs the static networks of some windows of a batch; `place` is that of the first among the outputs.
    #[inline(always)]
    pub(super) fn run<const G: usize>(
        &mut self,
        plan: &Plan,
        (batch, first, count): (&TensorBatch, usize, usize),
        place: usize,
        outputs: &mut OutputPart<'_>,
    ) {
        let shape = RowShape::new::<S>(count, G);
        let columns = &plan.statics.columns;
        for window in 0..count {
            let place = shape.place(columns.len(), window);
            for (real, &column) in columns.iter().enumerate() {
                let value = batch.encoder_reals[[first + window, 0, column]];
                floats_mut(&mut self.reals)[place.start + real * place.stride] = value;
            }
        }
        let code_columns = batch.encoder_categoricals.dim().2;
        self.codes.clear();
        for window in first..first + count {
            self.codes
                .extend((0..code_columns).map(|column| batch.encoder_categoricals[[window, 0, column]]));
        }
        self.windows.iter_mut().for_each(WindowContext::clear);
        shape.each_group::<S, G>(&mut StaticGroups { plan, shape, code_columns, statics: self });
        self.report(shape, plan.statics.count(), place, outputs.static_weights);
    }

    /// Writes the weights `[variable]` of each window.
    #[inline(always)]
    fn report(&self, shape: RowShape, count: usize, place: usize, out: &mut [f32]) {
        let Some(out) = out.get_mut(place * count..(place + shape.steps) * count) else { return };
        for (window, out) in out.chunks_exact_mut(count.max(1)).enumerate() {
            let place = shape.place(count, window);
            for (variable, out) in out.iter_mut().enumerate() {
                *out = floats(&self.weights)[place.start + variable * place.stride];
            }
        }
    }
}

impl WindowContext {
    fn clear(&mut self) {
        let Self { encoder, decoder, hidden, cell, enrichment } = self;
        [encoder, decoder, hidden, cell, enrichment].into_iter().for_each(Vec::clear);
    }
}

impl<S: Simd> GroupWork<S> for StaticGroups<'_, S> {
    #[inline(always)]
    fn run<const R: usize>(&mut self, row: usize) {
        let (plan, statics) = (self.plan, &mut *self.statics);
        let hidden = plan.hidden;
        let [scratch_hidden, skip, unit, summary] = &mut statics.scratch;
        let mut scratch = SelectionScratch {
            hidden: scratch_hidden.as_chunks_mut::<R>().0,
            skip: skip.as_chunks_mut::<R>().0,
            unit: unit.as_chunks_mut::<R>().0,
        };
        let columns = plan.statics.columns.len();
        let input = SelectionInput {
            reals: group(&statics.reals, columns, row),
            codes: statics.codes.get(row * S::LANES * self.code_columns..).unwrap_or_default(),
            code_columns: self.code_columns,
            context: None,
        };
        let summary = &mut summary.as_chunks_mut::<R>().0[..hidden];
        let weights = group_mut(&mut statics.weights, plan.statics.count(), row);
        plan.statics.apply(&input, &mut scratch, |_| None, weights, summary);
        for (purpose, network) in plan.contexts.iter().enumerate() {
            let context = &mut scratch.unit[..hidden];
            network.apply(summary, None, scratch.hidden, context);
            let targets: [Option<&crate::engine::kernels::linear::PackedLinear>; 2] = match purpose {
                0 => [&plan.encoder, &plan.decoder]
                    .map(|side| side.weighing.as_ref().and_then(|weighing| weighing.context.as_ref())),
                3 => [plan.enrichment.context.as_ref(), None],
                _ => [None, None],
            };
            for (part, projection) in targets.into_iter().enumerate() {
                let Some(projection) = projection else { continue };
                projection.apply(context, scratch.hidden);
                let values = &scratch.hidden[..projection.outputs];
                hand_out(values, row, self.shape, &mut statics.windows, |of| match (purpose, part) {
                    (0, 0) => &mut of.encoder,
                    (0, _) => &mut of.decoder,
                    _ => &mut of.enrichment,
                });
            }
            match purpose {
                1 => hand_out(context, row, self.shape, &mut statics.windows, |of| &mut of.hidden),
                2 => hand_out(context, row, self.shape, &mut statics.windows, |of| &mut of.cell),
                _ => {}
            }
        }
    }
}

/// Copies a group's features to the windows in its lanes.
#[inline(always)]
fn hand_out<S: Simd, const R: usize>(
    values: &[[S; R]],
    row: usize,
    shape: RowShape,
    windows: &mut [WindowContext],
    pick: impl for<'w> Fn(&'w mut WindowContext) -> &'w mut Vec<f32>,
) {
    let first = row * S::LANES;
    let last = shape.steps.min(first + R * S::LANES);
    for (lane, window) in windows[first..last].iter_mut().enumerate() {
        pick(window).extend(values.iter().map(|feature| floats(feature)[lane]));
    }
}
