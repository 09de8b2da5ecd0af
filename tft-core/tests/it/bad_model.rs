//! Model directories that are incomplete, inconsistent or damaged.

use std::collections::BTreeMap;
use std::path::PathBuf;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use tft_core::{ErrorKind, Model};

fn folder() -> PathBuf {
    crate::golden::fixtures().join("golden/c/model")
}

fn document() -> Value {
    let mut document: Value =
        serde_json::from_slice(&std::fs::read(folder().join(Model::DOCUMENT_FILE)).unwrap()).unwrap();
    document.as_object_mut().unwrap().remove("weights_sha256");
    document
}

fn weights() -> Vec<u8> {
    std::fs::read(folder().join(Model::WEIGHTS_FILE)).unwrap()
}

/// The message of the error that loading gives.
fn refusal(document: &Value, weights: &[u8]) -> String {
    let error = Model::from_bytes(&serde_json::to_vec(document).unwrap(), weights, "m").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidModel, "{error}");
    error.to_string()
}

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// Rewrites the tensors of the weight file.
fn edited(edit: impl FnOnce(&mut Tensors)) -> Vec<u8> {
    let bytes = weights();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let own = |view: &TensorView<'_>| (view.dtype(), view.shape().to_vec(), view.data().to_vec());
    let mut tensors: Tensors = file.tensors().into_iter().map(|(name, view)| (name, own(&view))).collect();
    edit(&mut tensors);
    let views = tensors.iter().map(|(name, (dtype, shape, data))| {
        (name.clone(), TensorView::new(*dtype, shape.clone(), data).unwrap())
    });
    safetensors::serialize(views.collect::<BTreeMap<_, _>>(), None).unwrap()
}

#[test]
fn all_problems_of_a_weight_file_are_reported_at_once() {
    let weights = edited(|tensors| {
        tensors.remove("output_layer.bias");
        tensors.insert("surprise".into(), (Dtype::F32, vec![1], vec![0; 4]));
        tensors.get_mut("lstm_encoder.bias_ih_l0").unwrap().1 = vec![4, 8];
        tensors.get_mut("prescalers.y.bias").unwrap().2[..4].copy_from_slice(&f32::NAN.to_le_bytes());
    });
    insta::assert_snapshot!(refusal(&document(), &weights), @"weights `m/model.safetensors` do not fit the architecture: tensor `lstm_encoder.bias_ih_l0` has shape [4, 8], expected [32]; tensor `prescalers.y.bias` holds NaN at index 0; unexpected tensor `surprise`; missing tensor `output_layer.bias` of shape [3]");
}

#[test]
fn an_alias_must_repeat_its_tensor() {
    let weights = edited(|tensors| {
        let alias = tensors.get_mut("post_lstm_gate_decoder.fc.bias").unwrap();
        alias.2[..4].copy_from_slice(&9.0f32.to_le_bytes());
    });
    insta::assert_snapshot!(refusal(&document(), &weights), @"weights `m/model.safetensors` do not fit the architecture: tensor `post_lstm_gate_decoder.fc.bias` differs from `post_lstm_gate_encoder.fc.bias`, which it must repeat");
}

#[test]
fn integers_are_no_weights() {
    let weights = edited(|tensors| tensors.get_mut("prescalers.y.bias").unwrap().0 = Dtype::I32);
    assert!(refusal(&document(), &weights).contains("tensor `prescalers.y.bias` has type I32"));
}

#[test]
fn truncated_weights_are_refused_at_every_length() {
    let weights = weights();
    for length in (0..weights.len()).step_by(97) {
        let message = refusal(&document(), &weights[..length]);
        assert!(
            message.starts_with("weights `m/model.safetensors` are not a readable"),
            "{length}: {message}"
        );
    }
}

#[test]
fn a_header_that_claims_gigabytes_is_refused() {
    for claimed in [u64::MAX, 1 << 40, 1 << 31] {
        let mut weights = weights();
        weights[..8].copy_from_slice(&claimed.to_le_bytes());
        assert!(refusal(&document(), &weights).contains("not a readable safetensors file"));
    }
}

#[test]
fn a_description_must_fit_itself_and_the_weights() {
    let changed = |pointer: &str, value: Value| {
        let mut document = document();
        *document.pointer_mut(pointer).unwrap() = value;
        refusal(&document, &weights())
    };
    insta::assert_snapshot!(changed("/format_version", 2.into()), @"`m/model.json`: format_version is 2, this version reads 1");
    insta::assert_snapshot!(changed("/architecture/hidden_size", 0.into()), @"`m/model.json` is not usable: architecture.hidden_size is 0, allowed are 1 to 4096");
    insta::assert_snapshot!(changed("/architecture/static_reals", serde_json::json!(["z"])), @"`m/model.json` is not usable: architecture.static_reals names `z`, which is not in architecture.x_reals");
    insta::assert_snapshot!(changed("/architecture/quantiles/0/1", 0.05.into()), @"`m/model.json` is not usable: architecture.quantiles of target 0 are [0.1, 0.05, 0.9], they must ascend between 0 and 1");
    insta::assert_snapshot!(changed("/encoding/reals", serde_json::json!(["x"])), @r#"`m/model.json` is not usable: encoding.reals ["x"] differ from the architecture's ["y"]"#);
    insta::assert_snapshot!(changed("/encoding/target_normalizer/norm/scale", 0.into()), @"`m/model.json` is not usable: encoding.normalizer of `y` has center 6.034886120249575, scale 0");
    assert!(
        changed("/architecture/hidden_size", 1_000_000_000_000u64.into()).contains("allowed are 1 to 4096")
    );
    assert!(changed("/step_ms", 7.into()).contains("step length 7 ms does not divide a day"));
}

#[test]
fn a_wrong_checksum_is_named() {
    let mut document = document();
    document["weights_sha256"] = "00".into();
    assert!(refusal(&document, &weights()).contains("model.json says 00"));
}

#[test]
fn a_missing_directory_is_an_io_error() {
    let error = Model::from_dir("does/not/exist").unwrap_err();
    assert!(error.is_io());
    insta::assert_snapshot!(error, @"cannot read `does/not/exist/model.json`");
}
