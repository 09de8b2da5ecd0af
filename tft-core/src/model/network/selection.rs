//! Variable selection networks (Lim et al. 2021, §4.2, eq. 6–8).

use burn::module::Module;
use burn::tensor::{Int, Tensor, activation};

use super::gated_residual::{StackedGatedResidual, StackedResampleNorm};
use super::inputs::{Rows, SharedInputs};

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
    pub(super) network: CategoricalNetwork,
    /// The position in [`SharedInputs::embeddings`].
    #[module(skip)]
    pub(super) embedding: usize,
}

/// What brings an embedding to the hidden width.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one per variable, made once")]
pub(super) enum CategoricalNetwork {
    /// A network of this selection alone.
    Resample(StackedResampleNorm),
    /// A network that the encoder and the decoder share.
    GatedResidual(StackedGatedResidual),
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

/// What a selection network makes of its variables.
pub(super) struct Selected {
    /// The weighted sum of the variables, `[rows, H]`.
    pub(super) mixture: Tensor<2>,
    /// `[rows, variables]`; none without variables.
    pub(super) weights: Option<Tensor<2>>,
}

/// Some variables' part of a selection network: what the weights see, and what is mixed.
pub(super) struct Transformed {
    /// `[rows, stack·width]`
    pub(super) flat: Tensor<2>,
    /// `[stack, rows, H]`
    pub(super) outputs: Tensor<3>,
}

impl VariableSelection {
    /// Mixes the variables of every row; `context` is `[windows, H]` where rows are whole windows.
    pub(super) fn forward(&self, shared: &SharedInputs, rows: &Rows, context: Option<Tensor<2>>) -> Selected {
        let Some(Transformed { flat, outputs }) = self.transform(shared, rows) else {
            let mixture = Tensor::zeros([rows.count(), self.hidden_size], &rows.reals.device());
            return Selected { mixture, weights: None };
        };
        match &self.flattened {
            None => {
                let weights = Tensor::ones([rows.count(), 1], &flat.device());
                Selected { mixture: outputs.squeeze_dim(0), weights: Some(weights) }
            }
            Some(flattened) => {
                let weights = activation::softmax(scores(flattened, flat, context), 1);
                Selected { mixture: self.mix(outputs, weights.clone()), weights: Some(weights) }
            }
        }
    }

    /// Runs every variable's own network; the variables lie in stack order. None without variables.
    pub(super) fn transform(&self, shared: &SharedInputs, rows: &Rows) -> Option<Transformed> {
        let categoricals = self.categoricals.iter().map(|variable| variable.transform(shared, rows));
        let reals = self.reals.iter().map(|variables| variables.transform(shared, rows));
        let parts = categoricals.chain(reals).map(|part| (part.flat, part.outputs));
        let (flats, outputs): (Vec<_>, Vec<_>) = parts.unzip();
        (!flats.is_empty())
            .then(|| Transformed { flat: Tensor::cat(flats, 1), outputs: Tensor::cat(outputs, 0) })
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
    /// Runs the network once per class where that is less work than once per row.
    fn transform(&self, shared: &SharedInputs, rows: &Rows) -> Transformed {
        let embedding = &shared.embeddings[self.embedding];
        if let Some(table) = embedding.table_for(rows.count()) {
            let codes = embedding.codes(rows);
            let outputs = self.network.forward(table.clone().unsqueeze_dim(0));
            Transformed { flat: table.select(0, codes.clone()), outputs: outputs.select(1, codes) }
        } else {
            let flat = embedding.forward(rows);
            Transformed { outputs: self.network.forward(flat.clone().unsqueeze_dim(0)), flat }
        }
    }
}

impl CategoricalNetwork {
    /// # Shapes
    /// `[1, rows, width]` to `[1, rows, H]`.
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Resample(resample) => resample.forward(x),
            Self::GatedResidual(network) => network.forward(x),
        }
    }
}

impl RealVariables {
    fn transform(&self, shared: &SharedInputs, rows: &Rows) -> Transformed {
        let (group, members) = &self.prescaler;
        let expanded = shared.prescalers[*group].forward(rows, &self.columns, members);
        let [stack, count, width] = expanded.dims();
        let flat = expanded.clone().swap_dims(0, 1).reshape([count, stack * width]);
        Transformed { flat, outputs: self.networks.forward(expanded) }
    }
}

/// The scores of the variables before they become weights, `[rows, variables]`.
pub(super) fn scores(
    flattened: &StackedGatedResidual,
    flat: Tensor<2>,
    context: Option<Tensor<2>>,
) -> Tensor<2> {
    let flat = flat.unsqueeze_dim(0);
    let scores = match context {
        Some(context) => flattened.forward_with_context(flat, context),
        None => flattened.forward(flat),
    };
    scores.squeeze_dim(0)
}
