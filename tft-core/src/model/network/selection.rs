//! Variable selection networks (Lim et al. 2021, §4.2, eq. 6–8) and the inputs that they share.

use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, activation};

use super::gated_residual::{StackedGatedResidual, StackedResampleNorm};

/// The embeddings and prescalers that all selection networks share.
#[derive(Module, Debug)]
pub(super) struct SharedInputs {
    /// By column of the categorical inputs: `[classes, width]`.
    pub(super) embeddings: Vec<Param<Tensor<2>>>,
    /// The reals by the width to which they expand.
    pub(super) prescalers: Vec<Prescalers>,
}

/// `Linear(1 → width)` for each of R reals.
#[derive(Module, Debug)]
pub(super) struct Prescalers {
    /// `[R, 1, width]`
    pub(super) weight: Param<Tensor<3>>,
    /// `[R, 1, width]`
    pub(super) bias: Param<Tensor<3>>,
}

/// Weighs the variables of one kind of step and mixes their networks' outputs.
#[derive(Module, Debug)]
pub(super) struct VariableSelection {
    pub(super) categoricals: Vec<CategoricalVariable>,
    pub(super) reals: Vec<RealVariables>,
    /// Absent for fewer than two variables, which need no weighing.
    pub(super) flattened: Option<StackedGatedResidual>,
    /// For each variable in stack order, its position in the order of weights.
    #[module(skip)]
    pub(super) weight_order: Vec<usize>,
    #[module(skip)]
    pub(super) hidden_size: usize,
}

/// One categorical of a selection network.
#[derive(Module, Debug)]
pub(super) struct CategoricalVariable {
    pub(super) resample: StackedResampleNorm,
    #[module(skip)]
    pub(super) column: usize,
}

/// Those reals of a selection network that expand to one width.
#[derive(Module, Debug)]
pub(super) struct RealVariables {
    pub(super) networks: StackedGatedResidual,
    /// Columns of the real inputs.
    #[module(skip)]
    pub(super) columns: Vec<i32>,
    /// The group in [`SharedInputs::prescalers`] and the rows in it.
    #[module(skip)]
    pub(super) prescaler: (usize, Vec<i32>),
}

/// One variable's or group's part of a selection network: what the weights see, and what is mixed.
struct Transformed {
    /// `[rows, stack·width]`
    flat: Tensor<2>,
    /// `[stack, rows, H]`
    outputs: Tensor<3>,
}

impl VariableSelection {
    /// Mixes the variables of every row.
    ///
    /// # Shapes
    /// `reals` `[rows, reals]`, `categoricals` `[rows, categoricals]`, `context` `[windows, H]` where rows
    /// are whole windows; the mixture `[rows, H]` and the weights `[rows, variables]`, none without
    /// variables.
    pub(super) fn forward(
        &self,
        shared: &SharedInputs,
        reals: &Tensor<2>,
        categoricals: &Tensor<2, Int>,
        context: Option<Tensor<2>>,
    ) -> (Tensor<2>, Option<Tensor<2>>) {
        let rows = reals.dims()[0].max(categoricals.dims()[0]);
        let mut parts: Vec<Transformed> =
            self.categoricals.iter().map(|variable| variable.transform(shared, categoricals)).collect();
        parts.extend(self.reals.iter().map(|variables| variables.transform(shared, reals)));
        if parts.is_empty() {
            return (Tensor::zeros([rows, self.hidden_size], &reals.device()), None);
        }
        let (flats, outputs): (Vec<_>, Vec<_>) =
            parts.into_iter().map(|part| (part.flat, part.outputs)).unzip();
        let outputs = Tensor::cat(outputs, 0);
        match &self.flattened {
            None => (outputs.squeeze_dim(0), Some(Tensor::ones([rows, 1], &reals.device()))),
            Some(flattened) => {
                let weights = weigh(flattened, Tensor::cat(flats, 1), context);
                (self.mix(outputs, weights.clone()), Some(weights))
            }
        }
    }

    /// `Σ_v w_v·o_v` over `outputs` `[variables, rows, H]` and `weights` `[rows, variables]`.
    fn mix(&self, outputs: Tensor<3>, weights: Tensor<2>) -> Tensor<2> {
        let order: Vec<i32> = self.weight_order.iter().map(|&position| position as i32).collect();
        let order = Tensor::<1, Int>::from_data(order.as_slice(), &outputs.device());
        let weights = weights.select(1, order).transpose().unsqueeze_dim(2);
        (outputs * weights).sum_dim(0).squeeze_dim(0)
    }
}

impl CategoricalVariable {
    fn transform(&self, shared: &SharedInputs, categoricals: &Tensor<2, Int>) -> Transformed {
        let embedding = shared.embeddings[self.column].val();
        let codes = categoricals.clone().narrow(1, self.column, 1).squeeze_dim::<1>(1);
        let per_class = self.resample.forward(embedding.clone().unsqueeze_dim(0));
        Transformed { flat: embedding.select(0, codes.clone()), outputs: per_class.select(1, codes) }
    }
}

impl RealVariables {
    fn transform(&self, shared: &SharedInputs, reals: &Tensor<2>) -> Transformed {
        let device = reals.device();
        let columns = Tensor::<1, Int>::from_data(self.columns.as_slice(), &device);
        let (group, rows_of_group) = &self.prescaler;
        let members = Tensor::<1, Int>::from_data(rows_of_group.as_slice(), &device);
        let prescalers = &shared.prescalers[*group];
        let values = reals.clone().select(1, columns).transpose().unsqueeze_dim::<3>(2);
        let expanded = values * prescalers.weight.val().select(0, members.clone())
            + prescalers.bias.val().select(0, members);
        let [stack, rows, width] = expanded.dims();
        let flat = expanded.clone().swap_dims(0, 1).reshape([rows, stack * width]);
        Transformed { flat, outputs: self.networks.forward(expanded) }
    }
}

fn weigh(flattened: &StackedGatedResidual, flat: Tensor<2>, context: Option<Tensor<2>>) -> Tensor<2> {
    let flat = flat.unsqueeze_dim(0);
    let scores = match context {
        Some(context) => flattened.forward_with_context(flat, context),
        None => flattened.forward(flat),
    };
    activation::softmax(scores.squeeze_dim(0), 1)
}
