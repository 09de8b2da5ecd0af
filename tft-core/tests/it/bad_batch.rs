//! Batches that do not fit their network.

use ndarray::{Array3, arr3};
use tft_core::ErrorKind;
use tft_core::model::{Architecture, TensorBatch};

/// Real columns `x` and `y`, a categorical column `k` of three classes and one that nothing reads.
fn architecture() -> Architecture {
    let text = r#"{
        "hidden_size": 4, "lstm_layers": 1, "attention_head_size": 1, "quantiles": [[0.5]],
        "hidden_continuous_size": 4, "max_encoder_length": 9, "mask_bias": -1e9, "causal_attention": true,
        "static_categoricals": ["g"], "static_reals": [],
        "time_varying_categoricals_encoder": [], "time_varying_categoricals_decoder": [],
        "time_varying_reals_encoder": ["x", "y"], "time_varying_reals_decoder": [],
        "x_reals": ["x", "y"], "x_categoricals": ["k", "unused"],
        "categorical_groups": {"g": ["k"]}, "embedding_sizes": {"g": [3, 2]}
    }"#;
    let architecture: Architecture = serde_json::from_str(text).unwrap();
    architecture.validate().unwrap();
    architecture
}

/// Two windows of two encoder steps and one decoder step.
fn batch() -> TensorBatch {
    TensorBatch {
        encoder_reals: Array3::zeros((2, 2, 2)),
        encoder_categoricals: arr3(&[[[0, 9], [1, 9]], [[2, 9], [0, 9]]]),
        decoder_reals: Array3::zeros((2, 1, 2)),
        decoder_categoricals: Array3::zeros((2, 1, 2)),
        encoder_lengths: vec![2, 1],
        decoder_lengths: vec![1, 1],
    }
}

fn refusal(batch: &TensorBatch) -> String {
    let error = batch.validate(&architecture()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput, "{error}");
    error.to_string()
}

#[test]
fn a_batch_that_fits_is_accepted() {
    batch().validate(&architecture()).unwrap();
}

#[test]
fn every_shape_at_fault_is_named() {
    let batch = TensorBatch {
        decoder_reals: Array3::zeros((3, 1, 2)),
        encoder_categoricals: Array3::zeros((2, 3, 2)),
        decoder_lengths: vec![1],
        ..batch()
    };
    insta::assert_snapshot!(refusal(&batch), @"the batch does not fit the network: batch.encoder_categoricals has shape [2, 3, 2], expected [2, 2, 2]; batch.decoder_reals has shape [3, 1, 2], expected [2, 1, 2]; batch.decoder_lengths has shape [1], expected [2]");
}

#[test]
fn every_length_at_fault_is_named() {
    let batch = TensorBatch { encoder_lengths: vec![0, 3], decoder_lengths: vec![1, 2], ..batch() };
    insta::assert_snapshot!(refusal(&batch), @"the batch does not fit the network: batch.encoder_lengths of window 0 is 0, the network needs at least one encoder step; batch.encoder_lengths of window 1 is 3, the batch has 2 steps; batch.decoder_lengths of window 1 is 2, the batch has 1 steps");
}

#[test]
fn every_value_at_fault_is_named() {
    let mut batch = batch();
    batch.encoder_reals[[0, 1, 1]] = f32::NAN;
    batch.decoder_reals[[1, 0, 0]] = f32::INFINITY;
    batch.encoder_categoricals[[1, 0, 0]] = 3;
    batch.decoder_categoricals[[0, 0, 0]] = u32::MAX;
    insta::assert_snapshot!(refusal(&batch), @"the batch does not fit the network: batch.encoder_reals holds NaN for `y` in window 0, step 1; batch.encoder_categoricals holds class 3 of `k` in window 1, step 0, it has 3 classes; batch.decoder_reals holds inf for `x` in window 1, step 0; batch.decoder_categoricals holds class 4294967295 of `k` in window 0, step 0, it has 3 classes");
}

#[test]
fn what_lies_beyond_a_length_is_not_looked_at() {
    let mut batch = batch();
    batch.encoder_reals[[1, 1, 0]] = f32::NAN;
    batch.encoder_categoricals[[1, 1, 0]] = 7;
    batch.validate(&architecture()).unwrap();
}

#[test]
fn a_message_has_a_limit() {
    let mut batch = batch();
    batch.encoder_reals = Array3::from_elem((2, 1000, 2), f32::NAN);
    batch.encoder_categoricals = Array3::zeros((2, 1000, 2));
    batch.encoder_lengths = vec![1000, 500];
    let message = refusal(&batch);
    assert!(message.ends_with("; and 2950 more") && message.len() < 5000, "{message}");
}
