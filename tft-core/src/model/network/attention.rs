//! Interpretable multi-head attention (Lim et al. 2021, §4.4, eq. 13–16).
//!
//! All heads share one projection of the values, so the mean of their attention weights explains the
//! output.

use burn::module::{Module, Param};
use burn::tensor::{Bool, Tensor, activation};

use super::gated_residual::StackedLinear;

/// Attention of decoder steps to all steps.
#[derive(Module, Debug)]
pub(super) struct InterpretableAttention {
    /// The queries of all heads side by side: `[1, H, heads·d]`.
    pub(super) query: StackedLinear,
    /// The keys of all heads side by side: `[1, H, heads·d]`.
    pub(super) key: StackedLinear,
    /// `[1, H, d]`
    pub(super) value: StackedLinear,
    /// `[d, H]`
    pub(super) output: Param<Tensor<2>>,
    #[module(skip)]
    pub(super) heads: usize,
    #[module(skip)]
    pub(super) mask_bias: f32,
}

impl InterpretableAttention {
    /// Attends from the last steps to all steps.
    ///
    /// # Shapes
    /// `x` `[B, T, H]`, `is_masked` `[B, D, T]`; the output `[B, D, H]` and the weights `[B, heads, D, T]`.
    pub(super) fn forward(&self, x: Tensor<3>, is_masked: Tensor<3, Bool>) -> (Tensor<3>, Tensor<4>) {
        let [windows, steps, width] = x.dims();
        let queries = is_masked.dims()[1];
        let asking = x.clone().narrow(1, steps - queries, queries);
        let query =
            self.split_heads(self.query.forward(asking.reshape([1, windows * queries, width])), windows);
        let flat = x.reshape([1, windows * steps, width]);
        let key = self.split_heads(self.key.forward(flat.clone()), windows);
        let value = self.value.forward(flat);
        let head_width = value.dims()[2];

        let scores = query.matmul(key.swap_dims(2, 3)) / (head_width as f64).sqrt();
        let is_masked = is_masked.unsqueeze_dim::<4>(1).repeat_dim(1, self.heads);
        let weights = activation::softmax(scores.mask_fill(is_masked, self.mask_bias), 3);
        let mean: Tensor<3> = weights.clone().mean_dim(1).squeeze_dim(1);
        let attended = mean.matmul(value.reshape([windows, steps, head_width]));
        let output = attended.reshape([windows * queries, head_width]).matmul(self.output.val());
        (output.reshape([windows, queries, width]), weights)
    }

    /// `[1, B·steps, heads·d]` to `[B, heads, steps, d]`.
    fn split_heads(&self, x: Tensor<3>, windows: usize) -> Tensor<4> {
        let [_, rows, width] = x.dims();
        x.reshape([windows, rows / windows, self.heads, width / self.heads]).swap_dims(1, 2)
    }
}
