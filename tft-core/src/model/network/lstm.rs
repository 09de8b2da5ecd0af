//! The recurrent layer (Lim et al. 2021, §4.5.1), in the parameter layout of `torch.nn.LSTM`.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, activation};

/// Stacked LSTM layers.
#[derive(Module, Debug)]
pub(super) struct Lstm {
    pub(super) layers: Vec<LstmLayer>,
}

/// One LSTM layer; the rows of each parameter are the gates i, f, g, o.
#[derive(Module, Debug)]
pub(super) struct LstmLayer {
    /// `[4·H, input]`
    pub(super) weight_ih: Param<Tensor<2>>,
    /// `[4·H, H]`
    pub(super) weight_hh: Param<Tensor<2>>,
    /// `[4·H]`
    pub(super) bias_ih: Param<Tensor<1>>,
    /// `[4·H]`
    pub(super) bias_hh: Param<Tensor<1>>,
}

/// The state of each layer.
#[derive(Debug, Clone)]
pub(super) struct LstmState {
    /// `[windows, H]` for each layer.
    pub(super) hidden: Vec<Tensor<2>>,
    /// `[windows, H]` for each layer.
    pub(super) cell: Vec<Tensor<2>>,
}

impl Lstm {
    /// Runs all layers over all steps. Where `is_valid` is 0 the state stays as it was and the output is 0.
    ///
    /// # Shapes
    /// `x` `[windows, steps, input]`, `is_valid` `[windows, steps]` of zeros and ones or none if all are
    /// valid; the result `[windows, steps, H]`.
    pub(super) fn forward(
        &self,
        x: Tensor<3>,
        state: LstmState,
        is_valid: Option<&Tensor<2>>,
    ) -> (Tensor<3>, LstmState) {
        let mut output = x;
        let mut end = LstmState { hidden: Vec::new(), cell: Vec::new() };
        for (layer, (hidden, cell)) in self.layers.iter().zip(state.hidden.into_iter().zip(state.cell)) {
            let (layer_output, hidden, cell) = layer.forward(output, hidden, cell, is_valid);
            output = layer_output;
            end.hidden.push(hidden);
            end.cell.push(cell);
        }
        (output, end)
    }
}

impl LstmLayer {
    fn forward(
        &self,
        x: Tensor<3>,
        mut hidden: Tensor<2>,
        mut cell: Tensor<2>,
        is_valid: Option<&Tensor<2>>,
    ) -> (Tensor<3>, Tensor<2>, Tensor<2>) {
        let [windows, steps, input] = x.dims();
        let width = hidden.dims()[1];
        let bias = (self.bias_ih.val() + self.bias_hh.val()).unsqueeze::<2>();
        let projected = x.reshape([windows * steps, input]).matmul(self.weight_ih.val().transpose()) + bias;
        let projected = projected.reshape([windows, steps, 4 * width]);
        let recurrent = self.weight_hh.val().transpose();
        let mut outputs = Vec::with_capacity(steps);
        for step in 0..steps {
            let from_input = projected.clone().narrow(1, step, 1).reshape([windows, 4 * width]);
            let gates = from_input + hidden.clone().matmul(recurrent.clone());
            let (next_hidden, next_cell) = advance(&gates, cell.clone());
            match is_valid {
                None => {
                    outputs.push(next_hidden.clone());
                    (hidden, cell) = (next_hidden, next_cell);
                }
                Some(is_valid) => {
                    let valid = is_valid.clone().narrow(1, step, 1);
                    outputs.push(next_hidden.clone() * valid.clone());
                    hidden = blend(next_hidden, hidden, valid.clone());
                    cell = blend(next_cell, cell, valid);
                }
            }
        }
        (Tensor::stack(outputs, 1), hidden, cell)
    }
}

/// `c' = σ(f)·c + σ(i)·tanh(g)`, `h' = σ(o)·tanh(c')` from the gates `[windows, 4·H]`.
fn advance(gates: &Tensor<2>, cell: Tensor<2>) -> (Tensor<2>, Tensor<2>) {
    let width = cell.dims()[1];
    let gate = |index: usize| gates.clone().narrow(1, index * width, width);
    let kept = activation::sigmoid(gate(1)) * cell;
    let cell = kept + activation::sigmoid(gate(0)) * gate(2).tanh();
    (activation::sigmoid(gate(3)) * cell.clone().tanh(), cell)
}

fn blend(new: Tensor<2>, old: Tensor<2>, valid: Tensor<2>) -> Tensor<2> {
    new * valid.clone() + old * (valid.neg() + 1.0)
}
