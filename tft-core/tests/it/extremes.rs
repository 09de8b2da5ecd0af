//! Numbers at the ends of single precision: the engine gives what burn gives, or neither gives a number.

use ndarray::s;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use crate::plain_parity::{PREDICTION, check, config};
use crate::random_network::{RandomNetwork, networks};

/// Squares of the largest are infinite; the smallest are subnormal.
const EXTREMES: [f32; 11] = [0.0, -0.0, 1e30, -1e30, 1e-30, -1e-30, 1e-42, -1e-42, 1e10, -1e4, -1e25];

/// What one column of the real inputs holds.
#[derive(Debug, Clone)]
enum Column {
    Ordinary,
    Constant(f32),
    /// One after the other, over and over.
    Extremes(Vec<f32>),
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn extreme_inputs(mut network in networks(), columns in vec(column(), 1..7)) {
        for reals in [&mut network.batch.encoder_reals, &mut network.batch.decoder_reals] {
            for (index, column) in columns.iter().cycle().take(reals.dim().2).enumerate() {
                let values = reals.slice_mut(s![.., .., index]);
                values.into_iter().enumerate().for_each(|(at, value)| *value = column.value(at, *value));
            }
        }
        check(&network, PREDICTION)?;
    }

    #[test]
    fn weights_that_vanish(mut network in networks(), scaled in vec(any::<Index>(), 1..9), by in vanishing()) {
        for tensor in scaled {
            scale(&mut network, tensor, by);
        }
        check(&network, PREDICTION)?;
    }

    #[test]
    fn weights_whose_results_overflow(mut network in networks(), scaled: Index, by in overflowing()) {
        scale(&mut network, scaled, by);
        check(&network, f64::INFINITY)?;
    }
}

fn column() -> impl Strategy<Value = Column> {
    prop_oneof![
        Just(Column::Ordinary),
        select(EXTREMES.to_vec()).prop_map(Column::Constant),
        vec(select(EXTREMES.to_vec()), 1..9).prop_map(Column::Extremes),
    ]
}

fn vanishing() -> impl Strategy<Value = f64> {
    select(vec![0.0, 1e-20, 1e-30, 1e-42])
}

fn overflowing() -> impl Strategy<Value = f64> {
    select(vec![1e20, 1e25, 1e30])
}

impl Column {
    fn value(&self, at: usize, ordinary: f32) -> f32 {
        match self {
            Self::Ordinary => ordinary,
            Self::Constant(value) => *value,
            Self::Extremes(values) => values[at % values.len()],
        }
    }
}

/// Multiplies one tensor, in single precision.
fn scale(network: &mut RandomNetwork, tensor: Index, by: f64) {
    let at = tensor.index(network.tensors.0.keys().filter(|name| !is_left_out(name)).count());
    let mut tensors = network.tensors.0.iter_mut().filter(|(name, _)| !is_left_out(name));
    let (_, tensor) = tensors.nth(at).unwrap();
    tensor.values.iter_mut().for_each(|value| *value = f64::from((*value * by) as f32));
}

/// Whether nothing can be said about a tensor's overflow. What is in queries and keys alike overflows in both
/// directions at once, and then the order of a sum decides whether it is infinite or no number. What multiplies one of
/// them lets the last bit of two scores decide; what multiplies the hidden state of an LSTM, the absolute error of a
/// hyperbolic tangent near 0. What multiplies the outputs multiplies what remains of a sum that cancels.
fn is_left_out(name: &str) -> bool {
    const PARTS: [&str; 6] = [
        "static_enrichment.gate_norm.add_norm",
        "multihead_attn.q_layers",
        "multihead_attn.k_layers",
        "lstm_",
        "output_layer",
        "post_lstm_gate",
    ];
    PARTS.iter().any(|part| name.starts_with(part))
}
