//! Agreement with pytorch-forecasting, in the tolerances of the crate's numeric contract: predictions within
//! 1e-4·max(1, |y|), attention and selection weights within 2e-5, encoded tensors within 5e-7.

use ndarray::{Array3, ArrayD, ArrayViewD, Axis, s};
use tft_core::engine::{Detail, Engine, EngineConfig};
use tft_core::model::{Encoding, Model, NetworkOutput, TensorBatch, default_device};

use crate::golden::{GoldenSet, Tensors};

const PREDICTION: f64 = 1e-4;
const WEIGHT: f64 = 2e-5;
const ENCODED: f64 = 5e-7;
const BATCH: f64 = 1e-6;

#[test]
fn set_a_from_tensors_to_outputs() {
    check_outputs(&GoldenSet::new("a"));
}

#[test]
fn set_b_from_tensors_to_outputs() {
    check_outputs(&GoldenSet::new("b"));
}

#[test]
fn set_c_from_tensors_to_outputs() {
    check_outputs(&GoldenSet::new("c"));
}

#[test]
fn set_a_from_rows_to_predictions() {
    check_rows(&GoldenSet::new("a"));
}

#[test]
fn set_b_from_rows_to_predictions() {
    check_rows(&GoldenSet::new("b"));
}

#[test]
fn set_c_from_rows_to_predictions() {
    check_rows(&GoldenSet::new("c"));
}

#[test]
fn set_d_lags_shared_networks_and_own_scales() {
    check_outputs(&GoldenSet::new("d"));
    check_rows(&GoldenSet::new("d"));
}

#[test]
fn set_e_category_groups_fills_and_three_targets() {
    check_outputs(&GoldenSet::new("e"));
    check_rows(&GoldenSet::new("e"));
}

#[test]
fn set_f_a_target_that_is_no_input() {
    check_outputs(&GoldenSet::new("f"));
    check_rows(&GoldenSet::new("f"));
}

#[test]
fn set_g_four_transformations_by_other_groups() {
    check_outputs(&GoldenSet::new("g"));
    check_rows(&GoldenSet::new("g"));
}

#[test]
fn windows_of_unequal_length() {
    let set = GoldenSet::new("b");
    let model = set.model();
    let batch = set.tensors("inputs_varlen").batch();
    let expected = set.tensors("outputs_varlen");
    for (path, output) in paths(&model, &batch) {
        check_valid_steps(&output, &batch, &expected, "");
        for (window, &length) in batch.encoder_lengths.iter().enumerate() {
            let padded = output.encoder_attention.slice(s![window, .., .., length..]);
            assert!(padded.iter().all(|&weight| weight == 0.0), "{path}: window {window} attends to padding");
        }
    }
}

#[test]
fn attention_that_is_not_causal() {
    let set = GoldenSet::new("b");
    let mut document = set.model().document().clone();
    document.architecture.causal_attention = false;
    let folder = crate::golden::fixtures().join("golden/b/model");
    let weights = std::fs::read(folder.join(Model::WEIGHTS_FILE)).unwrap();
    let model = Model::from_bytes(&serde_json::to_vec(&document).unwrap(), &weights, "b").unwrap();
    let batch = set.tensors("inputs_varlen").batch();
    for (_, output) in paths(&model, &batch) {
        check_valid_steps(&output, &batch, &set.tensors("outputs_varlen"), "noncausal.");
    }
}

#[test]
fn results_do_not_depend_on_the_batch() {
    let set = GoldenSet::new("a");
    let model = set.model();
    let batch = set.tensors("inputs").batch();
    let together = paths(&model, &batch);
    for window in 0..batch.windows() {
        let alone = paths(&model, &one_window(&batch, window));
        for ((path, alone), (_, together)) in alone.iter().zip(&together) {
            for (target, (one, all)) in alone.targets.iter().zip(&together.targets).enumerate() {
                let all = all.slice(s![window..=window, .., ..]).mapv(f64::from).into_dyn();
                let name = format!("{path}: target {target} of window {window}");
                assert_close(&name, &one.mapv(f64::from).into_dyn(), &all, BATCH);
            }
        }
    }
}

/// Windows of one fleet share their calendar; what the engine keeps for that must not change a bit.
#[test]
fn windows_that_share_inputs_get_the_numbers_that_they_get_alone() {
    let model = GoldenSet::new("a").model();
    let one = one_window(&GoldenSet::new("a").tensors("inputs").batch(), 0);
    let mut batch = repeated(&one, 6);
    for window in 0..6 {
        // Two columns differ from window to window, one from the third window on.
        batch.encoder_reals.slice_mut(s![window, .., 40]).mapv_inplace(|x| x + window as f32);
        batch.encoder_reals.slice_mut(s![window, .., 41]).mapv_inplace(|x| x * (1.0 + window as f32));
        batch
            .encoder_reals
            .slice_mut(s![window, .., 42])
            .mapv_inplace(|x| x + f32::from(u8::from(window > 2)));
    }
    for threads in [1, 3] {
        let engine = Engine::new(&model, EngineConfig { threads }).unwrap();
        for engine in engine.on_each_instruction_set() {
            let together = engine.forward(&batch, Detail::Explained).unwrap();
            for window in 0..6 {
                let alone = engine.forward(&one_window(&batch, window), Detail::Explained).unwrap();
                for (alone, together) in alone.targets.iter().zip(&together.targets) {
                    assert_eq!(alone.index_axis(Axis(0), 0), together.index_axis(Axis(0), window));
                }
            }
        }
    }
}

fn repeated(one: &TensorBatch, windows: usize) -> TensorBatch {
    let times = |array: &Array3<f32>| ndarray::concatenate(Axis(0), &vec![array.view(); windows]).unwrap();
    let codes = |array: &Array3<u32>| ndarray::concatenate(Axis(0), &vec![array.view(); windows]).unwrap();
    TensorBatch {
        encoder_reals: times(&one.encoder_reals),
        encoder_categoricals: codes(&one.encoder_categoricals),
        decoder_reals: times(&one.decoder_reals),
        decoder_categoricals: codes(&one.decoder_categoricals),
        encoder_lengths: vec![one.encoder_lengths[0]; windows],
        decoder_lengths: vec![one.decoder_lengths[0]; windows],
    }
}

fn check_outputs(set: &GoldenSet) {
    let model = set.model();
    let batch = set.tensors("inputs").batch();
    let expected = set.tensors("outputs");
    for (_, output) in paths(&model, &batch) {
        check_output(&output, &expected);
    }
}

/// The outputs of burn, and of the engine on each instruction set.
pub(crate) fn paths(model: &Model, batch: &TensorBatch) -> Vec<(&'static str, NetworkOutput)> {
    let engine = Engine::new(model, EngineConfig { threads: 2 }).unwrap();
    let mut paths = vec![("burn", run(model, batch))];
    for engine in engine.on_each_instruction_set() {
        paths.push((engine.instruction_set(), engine.forward(batch, Detail::Explained).unwrap()));
    }
    paths
}

fn check_output(output: &NetworkOutput, expected: &Tensors) {
    for (target, found) in output.targets.iter().enumerate() {
        let expected = expected.of_target("network_output", target);
        assert_close("network_output", &found.mapv(f64::from).into_dyn(), &expected, PREDICTION);
    }
    let found = output.encoder_attention.mapv(f64::from).into_dyn();
    let reference = expected.f64("encoder_attention");
    let windows = reference.shape()[0];
    assert_weights("encoder_attention", &first_windows(&found, windows), &reference);
    let found = output.decoder_attention.mapv(f64::from).into_dyn();
    assert_weights("decoder_attention", &first_windows(&found, windows), &expected.f64("decoder_attention"));
    check_selection(output, expected);
}

fn check_selection(output: &NetworkOutput, expected: &Tensors) {
    let found = [
        ("static_variables", output.static_weights.mapv(f64::from).into_dyn()),
        ("encoder_variables", output.encoder_weights.mapv(f64::from).into_dyn()),
        ("decoder_variables", output.decoder_weights.mapv(f64::from).into_dyn()),
    ];
    for (name, found) in found {
        let reference = expected.f64(name);
        let reference = reference.to_shape(found.shape()).unwrap().to_owned();
        assert_weights(name, &found.view(), &reference);
    }
}

/// Compares the steps inside each window's lengths; what lies beyond them has no meaning.
fn check_valid_steps(output: &NetworkOutput, batch: &TensorBatch, expected: &Tensors, prefix: &str) {
    let encoded = GoldenSet::new("b").tensors("inputs_varlen").f64("target_scale");
    let predictions = expected.f64(&format!("{prefix}prediction"));
    let attention = expected.f64(&format!("{prefix}encoder_attention"));
    for (window, &length) in batch.decoder_lengths.iter().enumerate() {
        for (target, found) in output.targets.iter().enumerate() {
            let (center, scale) = (encoded[[target, window, 0]], encoded[[target, window, 1]]);
            let found = found.slice(s![window, ..length, ..]).mapv(|y| f64::from(y) * scale + center);
            let found = found.mapv(|y| reversed(target, y)).into_dyn();
            let reference = predictions.slice(s![target, window, ..length, ..]).to_owned().into_dyn();
            assert_close("prediction", &found, &reference, PREDICTION);
        }
        let found = output.encoder_attention.slice(s![window, ..length, .., ..]).mapv(f64::from).into_dyn();
        let reference = attention.slice(s![window, ..length, .., ..]).to_owned().into_dyn();
        assert_weights("encoder_attention", &found.view(), &reference);
    }
}

/// The transformations of set b's targets: softplus, rectifier, exponential, none.
fn reversed(target: usize, y: f64) -> f64 {
    match target {
        0 => y.max(0.0) + (-y.abs()).exp().ln_1p(),
        1 => y.max(0.0),
        2 => y.exp(),
        _ => y,
    }
}

fn check_rows(set: &GoldenSet) {
    let model = set.model();
    let Encoding::PytorchForecasting(encoding) = &model.document().encoding else {
        panic!("unexpected encoding")
    };
    let encoded = encoding.encode_last(&set.rows()).unwrap();
    let expected = set.tensors("inputs").batch();
    assert_eq!(encoded.batch.encoder_lengths, expected.encoder_lengths);
    assert_eq!(encoded.batch.encoder_categoricals, expected.encoder_categoricals);
    assert_eq!(encoded.batch.decoder_categoricals, expected.decoder_categoricals);
    assert_encoded("encoder_cont", &encoded.batch.encoder_reals, &expected.encoder_reals);
    assert_encoded("decoder_cont", &encoded.batch.decoder_reals, &expected.decoder_reals);
    let predictions = encoded.predictions(&run(&model, &encoded.batch)).unwrap();
    let outputs = set.tensors("outputs");
    for (target, found) in predictions.iter().enumerate() {
        let reference = outputs.of_target("prediction", target);
        assert_close("prediction", &found.mapv(f64::from).into_dyn(), &reference, PREDICTION);
    }
}

fn run(model: &Model, batch: &TensorBatch) -> NetworkOutput {
    model.network(&default_device()).forward(batch).unwrap()
}

fn one_window(batch: &TensorBatch, window: usize) -> TensorBatch {
    let steps = batch.encoder_lengths[window];
    TensorBatch {
        encoder_reals: batch.encoder_reals.slice(s![window..=window, ..steps, ..]).to_owned(),
        encoder_categoricals: batch.encoder_categoricals.slice(s![window..=window, ..steps, ..]).to_owned(),
        decoder_reals: batch.decoder_reals.slice(s![window..=window, .., ..]).to_owned(),
        decoder_categoricals: batch.decoder_categoricals.slice(s![window..=window, .., ..]).to_owned(),
        encoder_lengths: vec![steps],
        decoder_lengths: vec![batch.decoder_lengths[window]],
    }
}

fn first_windows(array: &ArrayD<f64>, windows: usize) -> ArrayViewD<'_, f64> {
    array.slice_axis(Axis(0), (0..windows).into())
}

fn assert_encoded(name: &str, found: &Array3<f32>, expected: &Array3<f32>) {
    let largest = (found - expected).iter().fold(0.0f32, |most, difference| most.max(difference.abs()));
    assert!(f64::from(largest) <= ENCODED, "{name} differs by {largest}");
}

fn assert_weights(name: &str, found: &ArrayViewD<'_, f64>, expected: &ArrayD<f64>) {
    let largest = (found - expected).iter().fold(0.0f64, |most, difference| most.max(difference.abs()));
    assert!(largest <= WEIGHT, "{name} differs by {largest}");
}

fn assert_close(name: &str, found: &ArrayD<f64>, expected: &ArrayD<f64>, tolerance: f64) {
    assert_eq!(found.shape(), expected.shape(), "{name}");
    for (found, expected) in found.iter().zip(expected) {
        let allowed = tolerance * expected.abs().max(1.0);
        assert!((found - expected).abs() <= allowed, "{name}: found {found}, expected {expected}");
    }
}
