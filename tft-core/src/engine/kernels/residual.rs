//! Gated residual networks and gated skip connections of a group of rows.

use super::activation::elu;
use crate::engine::plan::{GateNormPlan, GatedPlan};
use crate::engine::simd::Simd;

impl GatedPlan {
    /// Runs the network on a group; `context` is added to every row's hidden layer.
    #[inline(always)]
    pub(crate) fn apply<S: Simd, const R: usize>(
        &self,
        x: &[[S; R]],
        context: Option<&[f32]>,
        hidden: &mut [[S; R]],
        y: &mut [[S; R]],
    ) {
        self.first.apply(x, hidden);
        activate(&mut hidden[..self.first.outputs], context);
        self.gate.apply(&hidden[..self.first.outputs], x, y);
        self.norm.apply(&mut y[..self.gate.outputs]);
    }
}

impl GateNormPlan {
    #[inline(always)]
    pub(crate) fn apply<S: Simd, const R: usize>(&self, x: &[[S; R]], skip: &[[S; R]], y: &mut [[S; R]]) {
        self.gate.apply(x, skip, y);
        self.norm.apply(&mut y[..self.gate.outputs]);
    }
}

/// Adds the context and applies the exponential linear unit, in place.
#[inline(always)]
pub(crate) fn activate<S: Simd, const R: usize>(hidden: &mut [[S; R]], context: Option<&[f32]>) {
    for (feature, hidden) in hidden.iter_mut().enumerate() {
        let added = S::splat(context.map_or(0.0, |context| context[feature]));
        for r in 0..R {
            hidden[r] = elu(hidden[r].add(added));
        }
    }
}
