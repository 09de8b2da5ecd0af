//! Gated residual networks (Lim et al. 2021, §4.1 and eq. 2–5), in stacks of equal shape.
//!
//! Every layer here holds S networks of the same shape side by side, so that the many small per-variable
//! networks of a selection network run as a few large operations. A lone network is a stack of one.

use burn::module::{Module, Param};
use burn::tensor::module::layer_norm;
use burn::tensor::{Tensor, activation};

/// S affine maps.
#[derive(Module, Debug)]
pub(super) struct StackedLinear {
    /// `[S, input, output]`
    pub(super) weight: Param<Tensor<3>>,
    /// `[S, 1, output]`; none for a purely linear map.
    pub(super) bias: Option<Param<Tensor<3>>>,
}

/// S layer normalisations over the last axis.
#[derive(Module, Debug)]
pub(super) struct StackedLayerNorm {
    /// `[S, 1, width]`
    pub(super) gamma: Param<Tensor<3>>,
    /// `[S, 1, width]`
    pub(super) beta: Param<Tensor<3>>,
    #[module(skip)]
    pub(super) epsilon: f64,
}

/// S times: interpolate the feature axis to another width, scale by a trained mask, normalise.
#[derive(Module, Debug)]
pub(super) struct StackedResampleNorm {
    /// `[1, input, output]`: linear interpolation with aligned corners; none where the widths agree.
    pub(super) interpolation: Option<Param<Tensor<3>>>,
    /// `[S, 1, output]`, applied as twice its logistic.
    pub(super) mask: Param<Tensor<3>>,
    pub(super) norm: StackedLayerNorm,
}

/// S times: gated linear unit, add a skip connection, normalise.
#[derive(Module, Debug)]
pub(super) struct StackedGateNorm {
    /// Output width is twice that of the unit: values first, then gates.
    pub(super) gate: StackedLinear,
    pub(super) norm: StackedLayerNorm,
}

/// S gated residual networks.
#[derive(Module, Debug)]
pub(super) struct StackedGatedResidual {
    pub(super) resample: Option<StackedResampleNorm>,
    pub(super) fc1: StackedLinear,
    pub(super) context: Option<StackedLinear>,
    pub(super) fc2: StackedLinear,
    pub(super) gate_norm: StackedGateNorm,
}

impl StackedLinear {
    /// # Shapes
    /// `[S, rows, input]` to `[S, rows, output]`.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let product = x.matmul(self.weight.val());
        match &self.bias {
            Some(bias) => product + bias.val(),
            None => product,
        }
    }
}

impl StackedLayerNorm {
    /// # Shapes
    /// `[S, rows, width]` to the same.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let width = x.dims()[2];
        let ones = Tensor::ones([width], &x.device());
        layer_norm(x, ones, None, self.epsilon) * self.gamma.val() + self.beta.val()
    }
}

impl StackedResampleNorm {
    /// # Shapes
    /// `[S, rows, input]` to `[S, rows, output]`.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let stack = x.dims()[0];
        let resampled = match &self.interpolation {
            Some(matrix) => x.matmul(matrix.val().repeat_dim(0, stack)),
            None => x,
        };
        self.norm.forward(resampled * (activation::sigmoid(self.mask.val()) * 2.0))
    }
}

impl StackedGateNorm {
    /// # Shapes
    /// `x` `[S, rows, input]`, `skip` and the result `[S, rows, output]`.
    pub(super) fn forward(&self, x: Tensor<3>, skip: Tensor<3>) -> Tensor<3> {
        self.norm.forward(gated_linear_unit(self.gate.forward(x)) + skip)
    }
}

impl StackedGatedResidual {
    /// # Shapes
    /// `[S, rows, input]` to `[S, rows, output]`.
    pub(super) fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let hidden = self.fc1.forward(x.clone());
        self.finish(x, hidden)
    }

    /// Runs a lone network with one context vector per window.
    ///
    /// # Shapes
    /// `x` `[1, windows·steps, input]`, `context` `[windows, context]`; the result `[1, windows·steps,
    /// output]`.
    pub(super) fn forward_with_context(&self, x: Tensor<3>, context: Tensor<2>) -> Tensor<3> {
        let [_, rows, _] = x.dims();
        let [windows, _] = context.dims();
        let hidden = self.fc1.forward(x.clone());
        let Some(projection) = &self.context else { return self.finish(x, hidden) };
        let context = projection.forward(context.unsqueeze_dim(0));
        let width = context.dims()[2];
        let per_step =
            context.reshape([windows, 1, width]).repeat_dim(1, rows / windows).reshape([1, rows, width]);
        self.finish(x, hidden + per_step)
    }

    fn finish(&self, x: Tensor<3>, hidden: Tensor<3>) -> Tensor<3> {
        let hidden = self.fc2.forward(activation::elu(hidden, 1.0));
        let skip = match &self.resample {
            Some(resample) => resample.forward(x),
            None => x,
        };
        self.gate_norm.forward(hidden, skip)
    }
}

/// Multiplies the first half of the features by the logistic of the second (eq. 5).
///
/// # Shapes
/// `[.., 2·width]` to `[.., width]`.
pub(super) fn gated_linear_unit(x: Tensor<3>) -> Tensor<3> {
    let width = x.dims()[2] / 2;
    let values = x.clone().narrow(2, 0, width);
    values * activation::sigmoid(x.narrow(2, width, width))
}
