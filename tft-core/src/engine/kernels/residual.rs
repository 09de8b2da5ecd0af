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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::kernels::linear::tests::Layer;
    use crate::engine::kernels::near::{
        GroupKernel, Near, Numbers, ROWS, WIDTHS, assert_twins, from_lanes, into_lanes, near,
    };
    use crate::engine::kernels::norm::Norm;

    struct Network {
        first: Layer,
        gate: Layer,
        norm: Norm,
        context: Option<Vec<f32>>,
    }

    struct Gated(GatedPlan, Option<Vec<f32>>);

    /// A row is the input and then the skip connection.
    struct GateNorm(GateNormPlan, usize);

    impl GroupKernel for Gated {
        #[inline(always)]
        fn run<S: Simd, const R: usize>(&self, rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
            let x = into_lanes::<S, R>(rows);
            // The buffers are those of the widest layer.
            let (mut hidden, mut y) =
                (vec![[S::splat(7.0); R]; self.0.first.outputs + 3], vec![[S::splat(7.0); R]; x.len()]);
            self.0.apply(&x, self.1.as_deref(), &mut hidden, &mut y);
            from_lanes(&y)
        }
    }

    impl GroupKernel for GateNorm {
        #[inline(always)]
        fn run<S: Simd, const R: usize>(&self, rows: &[Vec<f32>]) -> Vec<Vec<f32>> {
            let x = into_lanes::<S, R>(rows);
            let (x, skip) = x.split_at(self.1);
            let mut y = vec![[S::splat(7.0); R]; skip.len()];
            self.0.apply(x, skip, &mut y);
            from_lanes(&y)
        }
    }

    impl Network {
        fn random(width: usize, hidden: usize, has_context: bool, numbers: &mut Numbers) -> Self {
            Self {
                first: Layer::random(width, hidden, numbers),
                gate: Layer::random(hidden, 2 * width, numbers),
                norm: Norm::random(width, numbers),
                context: has_context.then(|| numbers.take(hidden, 1.0)),
            }
        }

        fn compiled(&self) -> Gated {
            let (first, gate) = (self.first.packed(), self.gate.packed_gate());
            let plan = GatedPlan { first, context: None, gate, norm: self.norm.clone() };
            Gated(plan, self.context.clone())
        }

        /// The twin of [`GatedPlan::apply`]: eq. 2-5, the second layer in the gate's.
        fn of_row(&self, x: &[Near]) -> Vec<Near> {
            let mut hidden = self.first.apply(x);
            for (unit, hidden) in hidden.iter_mut().enumerate() {
                let context = self.context.as_ref().map_or(0.0, |context| context[unit]);
                *hidden = (*hidden + context.into()).elu();
            }
            self.norm.of_row(&self.gate.gate(&hidden, x))
        }
    }

    #[test]
    fn a_gated_residual_network_is_its_formula() {
        let mut numbers = Numbers(7);
        for &width in WIDTHS {
            for &hidden in WIDTHS {
                for has_context in [false, true] {
                    let network = Network::random(width, hidden, has_context, &mut numbers);
                    let rows = numbers.rows(ROWS, width, 2.0);
                    let name = format!("{width} by {hidden}, context {has_context}");
                    assert_twins(&name, &network.compiled(), &rows, |row| network.of_row(&near(row)));
                }
            }
        }
    }

    #[test]
    fn a_gated_skip_connection_is_its_formula() {
        let mut numbers = Numbers(8);
        for &inputs in WIDTHS {
            for &width in WIDTHS {
                let (gate, norm) =
                    (Layer::random(inputs, 2 * width, &mut numbers), Norm::random(width, &mut numbers));
                let plan = GateNormPlan { gate: gate.packed_gate(), norm: norm.clone() };
                let rows = numbers.rows(ROWS, inputs + width, 2.0);
                let name = format!("{inputs} to {width}");
                assert_twins(&name, &GateNorm(plan, inputs), &rows, |row| {
                    norm.of_row(&gate.gate(&near(&row[..inputs]), &near(&row[inputs..])))
                });
            }
        }
    }
}
