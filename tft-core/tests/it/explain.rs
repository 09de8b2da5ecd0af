//! Interpretations agree with those that pytorch-forecasting makes of the same outputs, within 2e-5.

use ndarray::{ArrayD, Axis, s};
use tft_core::ErrorKind;
use tft_core::explain::{Importance, Interpretation, InterpretationSummary};
use tft_core::model::{Architecture, NetworkOutput, TensorBatch, default_device};

use crate::golden::{GoldenSet, Tensors};

const WEIGHT: f64 = 2e-5;

/// A set's outputs, the batch they are of, and the network's shape.
fn explained(name: &str) -> (NetworkOutput, TensorBatch, Architecture) {
    let set = GoldenSet::new(name);
    let (model, batch) = (set.model(), set.tensors("inputs").batch());
    let output = model.network(&default_device()).forward(&batch).unwrap();
    (output, batch, model.document().architecture.clone())
}

fn check(name: &str) {
    let (output, batch, architecture) = explained(name);
    let expected = GoldenSet::new(name).tensors("interpretation");
    let interpretation = Interpretation::of(&output, &batch, &architecture, 0).unwrap();
    assert_close(&expected, "none.attention", &interpretation.attention.clone().into_dyn());
    for (kind, importance) in [
        ("static", &interpretation.static_variables),
        ("encoder", &interpretation.encoder_variables),
        ("decoder", &interpretation.decoder_variables),
    ] {
        let name = format!("none.{kind}_variables");
        assert_close(&expected, &name, &importance.weights.clone().into_dyn());
        assert_eq!(importance.variables.len(), importance.weights.ncols());
    }
    check_summary(&expected, "sum", interpretation.total());
    check_summary(&expected, "mean", interpretation.mean());
    let later = Interpretation::of(&output, &batch, &architecture, 2).unwrap();
    assert_close(&expected, "horizon2.attention", &later.attention.into_dyn());
}

fn check_summary(expected: &Tensors, reduction: &str, summary: InterpretationSummary) {
    for (part, found) in [
        ("attention", summary.attention),
        ("static_variables", summary.static_variables_total),
        ("encoder_variables", summary.encoder_variables_total),
        ("decoder_variables", summary.decoder_variables_total),
    ] {
        assert_close(expected, &format!("{reduction}.{part}"), &found.into_dyn());
    }
}

fn assert_close(expected: &Tensors, name: &str, found: &ArrayD<f32>) {
    let expected = expected.f64(name);
    assert_eq!(found.shape(), expected.shape(), "{name}");
    let differences = found.mapv(f64::from) - &expected;
    let largest = differences.iter().fold(0.0f64, |most, difference| most.max(difference.abs()));
    assert!(largest <= WEIGHT, "{name} differs by {largest}");
}

#[test]
fn set_d_windows_of_five_lengths() {
    check("d");
}

#[test]
fn set_e_without_static_variables_and_not_causal() {
    check("e");
}

#[test]
fn set_f_one_head() {
    check("f");
}

#[test]
fn set_g_one_static_and_one_known_variable() {
    check("g");
}

#[test]
fn variables_are_named_categoricals_first() {
    let (output, batch, architecture) = explained("e");
    let interpretation = Interpretation::of(&output, &batch, &architecture, 0).unwrap();
    let names = |importance: &Importance| importance.variables.join(" ");
    assert_eq!(names(&interpretation.static_variables), "");
    assert_eq!(names(&interpretation.encoder_variables), "phase events hour cpu_pct mem net disk");
    let ranked = interpretation.encoder_variables.ranked();
    assert!((ranked.iter().map(|(_, share)| share).sum::<f32>() - 1.0).abs() < 1e-5, "{ranked:?}");
    assert!(ranked.is_sorted_by(|a, b| a.1 >= b.1), "{ranked:?}");
}

#[test]
fn steps_that_a_window_does_not_have_get_nothing() {
    let set = GoldenSet::new("b");
    let (model, batch) = (set.model(), set.tensors("inputs_varlen").batch());
    let output = model.network(&default_device()).forward(&batch).unwrap();
    let architecture = &model.document().architecture;
    let query = 14;
    let interpretation = Interpretation::of(&output, &batch, architecture, query).unwrap();
    let lengths = batch.encoder_lengths.iter().zip(&batch.decoder_lengths);
    for (window, (&encoder, &decoder)) in lengths.enumerate() {
        let row = interpretation.attention.index_axis(Axis(0), window);
        let padding = row.slice(s![..architecture.max_encoder_length - encoder]);
        assert!(padding.iter().all(|&weight| weight == 0.0), "window {window}");
        let expected = if query < decoder { 1.0 } else { 0.0 };
        assert!((row.sum() - expected).abs() < 1e-5, "window {window} sums to {}", row.sum());
    }
    let present = batch.decoder_lengths.iter().filter(|&&length| query < length).count();
    assert!(present < batch.windows());
    let (total, mean) = (interpretation.total().attention, interpretation.mean().attention);
    let last = architecture.max_encoder_length - 1;
    assert!((total[last] - mean[last] * present as f32).abs() < 1e-6);
}

#[test]
fn outputs_of_another_batch_are_refused() {
    let (output, batch, architecture) = explained("g");
    let refusal = |batch: &TensorBatch, query: usize| {
        let error = Interpretation::of(&output, batch, &architecture, query).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        error.to_string()
    };
    insta::assert_snapshot!(refusal(&batch, 3), @"query step 3 cannot be explained, the output has 3 decoder steps");
    let shorter = TensorBatch {
        encoder_reals: batch.encoder_reals.slice(s![..4, .., ..]).to_owned(),
        encoder_categoricals: batch.encoder_categoricals.slice(s![..4, .., ..]).to_owned(),
        decoder_reals: batch.decoder_reals.slice(s![..4, .., ..]).to_owned(),
        decoder_categoricals: batch.decoder_categoricals.slice(s![..4, .., ..]).to_owned(),
        encoder_lengths: batch.encoder_lengths[..4].to_vec(),
        decoder_lengths: batch.decoder_lengths[..4].to_vec(),
    };
    insta::assert_snapshot!(refusal(&shorter, 0), @"output.encoder_attention has shape [5, 3, 4, 12], expected [4, 3, 4, 12] for this batch");
}
