//! Agreement of the network with the plain one on random architectures, and of the plain one with
//! pytorch-forecasting.

use ndarray::{Array3, Array4, s};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tft_core::Model;
use tft_core::model::{NetworkOutput, TensorBatch};

use crate::golden::GoldenSet;
use crate::parity::paths;
use crate::plain_network::{PlainNetwork, PlainOutput, StateTensor, StateTensors, Steps};
use crate::random_network::{RandomNetwork, networks};

pub(crate) const PREDICTION: f64 = 1e-4;
const WEIGHT: f64 = 2e-5;
/// What single precision costs the reference itself.
const REFERENCE: f64 = 5e-6;

proptest! {
    #![proptest_config(config())]

    #[test]
    fn the_network_agrees_with_the_plain_one(network in networks()) {
        check(&network, PREDICTION)?;
    }
}

/// The same networks at each run: one of some thousands turns the last bit of single precision into more than any
/// tolerance, in burn and the engine alike.
pub(crate) fn config() -> ProptestConfig {
    ProptestConfig { failure_persistence: None, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() }
}

/// Compares burn and the engine with the plain network, window by window. Where burn's predictions are not finite or
/// further off than `reference`, the network is beyond single precision: the engine must not do worse, and must answer
/// with what is not finite where burn does.
pub(crate) fn check(network: &RandomNetwork, reference: f64) -> Result<(), TestCaseError> {
    let RandomNetwork { architecture, tensors, batch, .. } = network;
    let plain = PlainNetwork::new(architecture, tensors);
    let expected: Vec<_> = (0..batch.windows()).map(|window| plain.forward(batch, window)).collect();
    // Some random networks turn the rounding of single precision into more than the tolerance. Burn shows how
    // much that is: the first path, and held to the tolerance itself.
    let mut rounding = vec![(0.0f64, 0.0f64); expected.len()];
    let paths = paths(&network.model(), batch);
    for (path, found) in &paths {
        for ((window, expected), rounding) in expected.iter().enumerate().zip(&mut rounding) {
            let is_finite = has_answer(&paths[0].1, batch, window);
            prop_assert_eq!(has_answer(found, batch, window), is_finite, "{} in window {}", path, window);
            if !is_finite {
                continue;
            }
            let largest = largest_differences(found, batch, window, expected);
            let (prediction, weight) = match *path {
                "burn" => (reference, if reference > PREDICTION { reference } else { WEIGHT }),
                _ => (PREDICTION.max(3.0 * rounding.0), WEIGHT.max(3.0 * rounding.1)),
            };
            prop_assert!(largest.prediction <= prediction, "{path}: {largest:?} in window {window}");
            prop_assert!(largest.weight <= weight, "{path}: {largest:?} in window {window}");
            if *path == "burn" {
                *rounding = (largest.prediction, largest.weight);
            }
        }
    }
    Ok(())
}

/// Whether all predictions at the valid steps of a window are finite.
fn has_answer(found: &NetworkOutput, batch: &TensorBatch, window: usize) -> bool {
    let future = batch.decoder_lengths[window];
    found.targets.iter().all(|target| target.slice(s![window, ..future, ..]).iter().all(|y| y.is_finite()))
}

#[test]
fn the_plain_network_agrees_with_set_b() {
    check_reference("b", "inputs", "outputs");
}

#[test]
fn the_plain_network_agrees_with_set_c() {
    check_reference("c", "inputs", "outputs");
}

/// The largest differences of one window.
#[derive(Debug, Default)]
struct Largest {
    /// Relative to values above 1.
    prediction: f64,
    weight: f64,
}

/// Compares the valid steps of one window.
fn largest_differences(
    found: &NetworkOutput,
    batch: &TensorBatch,
    window: usize,
    plain: &PlainOutput,
) -> Largest {
    let mut largest = Largest::default();
    let (past, future) = (batch.encoder_lengths[window], batch.decoder_lengths[window]);
    for (found, expected) in found.targets.iter().zip(&plain.targets) {
        largest.prediction = largest.prediction.max(difference(found, window, &expected[..future], true));
    }
    let attention = (&found.encoder_attention, &found.decoder_attention);
    largest.weight = [
        attention_difference(attention, window, &plain.attention[..future]),
        difference(&found.encoder_weights, window, &plain.encoder_weights[..past], false),
        difference(&found.decoder_weights, window, &plain.decoder_weights[..future], false),
        apart(found.static_weights.row(window).iter(), &plain.static_weights, false),
    ]
    .into_iter()
    .fold(0.0, f64::max);
    largest
}

fn difference(found: &Array3<f32>, window: usize, expected: &[Vec<f64>], is_relative: bool) -> f64 {
    let steps = expected.iter().enumerate();
    let of = steps.map(|(step, row)| apart(found.slice(s![window, step, ..]).iter(), row, is_relative));
    of.fold(0.0, f64::max)
}

fn attention_difference(
    (past, future): (&Array4<f32>, &Array4<f32>),
    window: usize,
    expected: &[Steps],
) -> f64 {
    let mut largest = 0.0f64;
    for (step, heads) in expected.iter().enumerate() {
        for (head, weights) in heads.iter().enumerate() {
            let (past, future) =
                (past.slice(s![window, step, head, ..]), future.slice(s![window, step, head, ..]));
            largest = largest.max(apart(past.iter().chain(future.iter()), weights, false));
        }
    }
    largest
}

/// A difference that is not a number counts as infinite.
fn apart<'a>(found: impl Iterator<Item = &'a f32>, expected: &[f64], is_relative: bool) -> f64 {
    let found: Vec<f64> = found.map(|&value| f64::from(value)).collect();
    assert_eq!(found.len(), expected.len());
    let of = found.iter().zip(expected).map(|(found, expected)| {
        let unit = if is_relative { expected.abs().max(1.0) } else { 1.0 };
        let difference = (found - expected).abs() / unit;
        if difference.is_nan() { f64::INFINITY } else { difference }
    });
    of.fold(0.0, f64::max)
}

fn check_reference(set: &str, inputs: &str, outputs: &str) {
    let set = GoldenSet::new(set);
    let (model, tensors) = (set.model(), state_tensors(&set));
    let (batch, reference) = (set.tensors(inputs).batch(), set.tensors(outputs).f64("network_output"));
    let plain = PlainNetwork::new(&model.document().architecture, &tensors);
    for window in 0..batch.windows() {
        for (target, steps) in plain.forward(&batch, window).targets.iter().enumerate() {
            for (step, quantiles) in steps.iter().enumerate() {
                let expected = reference.slice(s![target, window, step, ..]).mapv(|value| value as f32);
                let largest = apart(expected.iter(), quantiles, true);
                assert!(largest <= REFERENCE, "target {target} of window {window} differs by {largest}");
            }
        }
    }
}

fn state_tensors(set: &GoldenSet) -> StateTensors {
    let file = set.tensors(&format!("model/{}", Model::WEIGHTS_FILE.trim_end_matches(".safetensors")));
    let names = file.names();
    let tensor = |name: &String| {
        let values = file.f64(name);
        StateTensor { shape: values.shape().to_vec(), values: values.into_iter().collect() }
    };
    StateTensors(names.iter().map(|name| (name.clone(), tensor(name))).collect())
}
