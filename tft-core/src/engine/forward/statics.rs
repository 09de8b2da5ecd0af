//! Static variables and the contexts that they give (Lim et al. 2021, §4.3): windows in the lanes.

use crate::engine::kernels::selection::{SelectionInput, SelectionScratch};
use crate::engine::outputs::OutputPart;
use crate::engine::plan::Plan;
use crate::engine::rows::{GroupWork, RowShape, group_mut};
use crate::engine::simd::{Simd, floats, floats_mut};
use crate::model::TensorBatch;

/// What each window's static variables say.
pub(super) struct Statics {
    pub(super) windows: Vec<WindowContext>,
}

/// The contexts of one window.
#[derive(Default, Clone)]
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
    reals: Vec<S>,
    codes: Vec<u32>,
    code_columns: usize,
    weights: Vec<S>,
    scratch: [Vec<S>; 4],
    windows: &'a mut [WindowContext],
}

impl Statics {
    #[inline(always)]
    pub(super) fn of<S: Simd, const G: usize>(
        plan: &Plan,
        batch: &TensorBatch,
        first: usize,
        outputs: &mut OutputPart<'_>,
    ) -> Self {
        let count = outputs.windows;
        let shape = RowShape::new::<S>(count, G);
        let columns = &plan.statics.columns;
        let mut reals = vec![S::splat(0.0); columns.len() * shape.vectors];
        for window in 0..count {
            let place = shape.place(columns.len(), window);
            for (real, &column) in columns.iter().enumerate() {
                let value = batch.encoder_reals[[first + window, 0, column]];
                floats_mut(&mut reals)[place.start + real * place.stride] = value;
            }
        }
        let code_columns = batch.encoder_categoricals.dim().2;
        let codes = (0..count).flat_map(|window| {
            (0..code_columns).map(move |column| batch.encoder_categoricals[[first + window, 0, column]])
        });
        let mut windows = vec![WindowContext::default(); count];
        let width = plan.widest().max(plan.statics.count());
        let mut groups = StaticGroups {
            plan,
            shape,
            reals,
            codes: codes.collect(),
            code_columns,
            weights: vec![S::splat(0.0); plan.statics.count() * shape.vectors],
            scratch: std::array::from_fn(|_| vec![S::splat(0.0); width * G]),
            windows: &mut windows,
        };
        shape.each_group::<S, G>(&mut groups);
        report(&groups, outputs.static_weights);
        Self { windows }
    }
}

impl<S: Simd> GroupWork<S> for StaticGroups<'_, S> {
    #[inline(always)]
    fn run<const R: usize>(&mut self, row: usize) {
        let plan = self.plan;
        let hidden = plan.hidden;
        let [scratch_hidden, skip, unit, summary] = &mut self.scratch;
        let mut scratch = SelectionScratch {
            hidden: scratch_hidden.as_chunks_mut::<R>().0,
            skip: skip.as_chunks_mut::<R>().0,
            unit: unit.as_chunks_mut::<R>().0,
        };
        let columns = plan.statics.columns.len();
        let input = SelectionInput {
            reals: self.reals[columns * row..columns * (row + R)].as_chunks::<R>().0,
            codes: self.codes.get(row * S::LANES * self.code_columns..).unwrap_or_default(),
            code_columns: self.code_columns,
            context: None,
        };
        let summary = &mut summary.as_chunks_mut::<R>().0[..hidden];
        let weights = group_mut(&mut self.weights, plan.statics.count(), row);
        plan.statics.apply(&input, &mut scratch, (&mut [], row), weights, summary);
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
                hand_out(values, row, self.shape, self.windows, |of| match (purpose, part) {
                    (0, 0) => &mut of.encoder,
                    (0, _) => &mut of.decoder,
                    _ => &mut of.enrichment,
                });
            }
            match purpose {
                1 => hand_out(context, row, self.shape, self.windows, |of| &mut of.hidden),
                2 => hand_out(context, row, self.shape, self.windows, |of| &mut of.cell),
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

#[inline(always)]
fn report<S: Simd>(groups: &StaticGroups<'_, S>, out: &mut [f32]) {
    let count = groups.plan.statics.count();
    for (window, out) in out.chunks_exact_mut(count.max(1)).enumerate() {
        let place = groups.shape.place(count, window);
        for (variable, out) in out.iter_mut().enumerate() {
            *out = floats(&groups.weights)[place.start + variable * place.stride];
        }
    }
}
