//! Model directories that are incomplete, inconsistent or damaged.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ndarray::{Array3, Axis, concatenate};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::{Value, json};
use tft_core::model::{TensorBatch, default_device};
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
    insta::assert_snapshot!(changed("/architecture/static_reals", json!(["z"])), @"`m/model.json` is not usable: architecture.static_reals names `z`, which is not in architecture.x_reals");
    insta::assert_snapshot!(changed("/architecture/quantiles/0/1", 0.9.into()), @"`m/model.json` is not usable: architecture.quantiles of target 0 are [0.1, 0.9, 0.9], they must be distinct and between 0 and 1");
    insta::assert_snapshot!(changed("/encoding/reals", json!(["x"])), @r#"`m/model.json` is not usable: encoding.reals ["x"] differ from the architecture's ["y"]"#);
    insta::assert_snapshot!(changed("/encoding/target_normalizer/norm/scale", 0.into()), @"`m/model.json` is not usable: encoding.normalizer of `y` has center 6.034886120249575, scale 0");
    assert!(
        changed("/architecture/hidden_size", 1_000_000_000_000u64.into()).contains("allowed are 1 to 4096")
    );
    assert!(changed("/step_ms", 7.into()).contains("step length 7 ms does not divide a day"));
}

#[test]
fn all_problems_of_an_architecture_are_reported_at_once() {
    let mut document = document();
    let architecture = &mut document["architecture"];
    architecture["attention_head_size"] = 9.into();
    architecture["layer_norm_eps"] = (-1).into();
    architecture["x_categoricals"] = json!(["y", "a.b", "k", "k"]);
    architecture["static_categoricals"] = json!(["g", "k"]);
    architecture["static_reals"] = json!(["z", "y", "y"]);
    architecture["categorical_groups"] = json!({"g": ["k", "m"], "h": []});
    architecture["embedding_sizes"] = json!({"g": [0, 5000], "k": [2, 1], "n": [2, 1]});
    architecture["hidden_continuous_sizes"] = json!({"y": 5000});
    architecture["quantiles"] = json!([[0.5, 0.1], [0.5, 1.0], []]);
    let problems = refusal(&document, &weights()).replace("; ", "\n").replacen(": ", ":\n", 1);
    insta::assert_snapshot!(problems, @r"
    `m/model.json` is not usable:
    architecture.attention_head_size is 9, allowed are 1 to 8
    architecture.hidden_continuous_sizes of `y` is 5000, allowed are 1 to 4096
    architecture.layer_norm_eps is -1, which is not usable
    architecture.x_categoricals names `k` twice
    architecture.x_categoricals names `y`, which architecture.x_reals names too
    architecture.x_categoricals names `a.b`, a name has 1 to 256 bytes and no `.`
    architecture.static_reals names `y` twice
    architecture.static_reals names `z`, which is not in architecture.x_reals
    architecture.categorical_groups of `g` names `m`, which is not in architecture.x_categoricals
    architecture.categorical_groups of `g` names `k`, which has an embedding of its own
    architecture.categorical_groups of `h` has no columns
    architecture.embedding_sizes has no entry for `h`
    architecture.embedding_sizes of `g`: the number of classes is 0, allowed are 1 to 1048576
    architecture.embedding_sizes of `g`: the width is 5000, allowed are 1 to 4096
    architecture.embedding_sizes names `n`, which is not in architecture.x_categoricals or architecture.categorical_groups
    architecture.quantiles of target 1 are [0.5, 1.0], they must be distinct and between 0 and 1
    the number of architecture.quantiles of target 2 is 0, allowed are 1 to 1024
    ");
}

#[test]
fn hostile_sizes_are_refused_before_they_take_memory() {
    let mut document = document();
    let architecture = &mut document["architecture"];
    let names: Vec<String> = (0..500).map(|index| format!("c{index}")).collect();
    let sizes: BTreeMap<&String, [u64; 2]> = names.iter().map(|name| (name, [1, 4096])).collect();
    architecture["hidden_size"] = 4096.into();
    architecture["x_categoricals"] = json!(names);
    architecture["static_categoricals"] = json!(names);
    architecture["embedding_sizes"] = json!(sizes);
    insta::assert_snapshot!(refusal(&document, &weights()), @"`m/model.json` is not usable: the architecture stretches its variables with matrices of 9412640776 values, allowed are 268435456");
    for size in [u64::MAX, 1 << 62] {
        let mut document = self::document();
        let architecture = &mut document["architecture"];
        for field in ["hidden_size", "lstm_layers", "attention_head_size", "hidden_continuous_size"] {
            architecture[field] = size.into();
        }
        architecture["hidden_continuous_sizes"] = json!({"y": size});
        architecture["x_categoricals"] = json!(["k"]);
        architecture["static_categoricals"] = json!(["k"]);
        architecture["embedding_sizes"] = json!({"k": [size, size]});
        assert!(refusal(&document, &weights()).contains(&format!("hidden_size is {size}, allowed")));
    }
}

#[test]
fn tensors_that_are_stored_once_may_have_any_of_their_names() {
    let names = ["prescalers.y", "encoder_variable_selection.prescalers.y"];
    for (kept, left_out) in [(names[0], names[1]), (names[1], names[0])] {
        let weights = edited(|tensors| {
            tensors.retain(|name, _| !name.starts_with(left_out));
            tensors.retain(|name, _| !name.starts_with("post_lstm_gate_encoder"));
        });
        let model = Model::from_bytes(&serde_json::to_vec(&document()).unwrap(), &weights, "m").unwrap();
        let whole = Model::from_bytes(&serde_json::to_vec(&document()).unwrap(), &self::weights(), "m");
        assert_eq!(model.parameters(), whole.unwrap().parameters(), "{kept}");
    }
}

#[test]
fn a_tensor_is_missing_if_it_has_none_of_its_names() {
    let weights = edited(|tensors| tensors.retain(|name, _| !name.ends_with("prescalers.y.bias")));
    insta::assert_snapshot!(refusal(&document(), &weights), @"weights `m/model.safetensors` do not fit the architecture: missing tensor `prescalers.y.bias` of shape [8]");
}

#[test]
fn copies_must_agree_bit_for_bit() {
    let weights = edited(|tensors| {
        let zero = |value: f32| (Dtype::F32, vec![8], [value; 8].map(f32::to_le_bytes).concat());
        tensors.insert("prescalers.y.bias".into(), zero(0.0));
        tensors.insert("encoder_variable_selection.prescalers.y.bias".into(), zero(-0.0));
    });
    insta::assert_snapshot!(refusal(&document(), &weights), @"weights `m/model.safetensors` do not fit the architecture: tensor `encoder_variable_selection.prescalers.y.bias` differs from `prescalers.y.bias`, which it must repeat");
}

#[test]
fn quantiles_may_come_in_any_order() {
    let mut document = document();
    document["architecture"]["quantiles"] = json!([[0.9, 0.1, 0.5]]);
    let model = Model::from_bytes(&serde_json::to_vec(&document).unwrap(), &weights(), "m").unwrap();
    assert_eq!(model.document().architecture.quantiles, [[0.9, 0.1, 0.5]]);
}

#[test]
fn columns_that_no_network_uses_need_no_weights() {
    let mut document = document();
    document["architecture"]["x_reals"] = json!(["unused", "y"]);
    document["encoding"]["reals"] = json!(["unused", "y"]);
    let model = Model::from_bytes(&serde_json::to_vec(&document).unwrap(), &weights(), "m").unwrap();
    let network = model.network(&default_device());
    let alone = Model::from_bytes(&serde_json::to_vec(&self::document()).unwrap(), &weights(), "m").unwrap();
    let batch = crate::golden::GoldenSet::new("c").tensors("inputs").batch();
    let expected = alone.network(&default_device()).forward(&batch).unwrap();
    let wider = |reals: &Array3<f32>| concatenate![Axis(2), *reals, *reals];
    let batch = TensorBatch {
        encoder_reals: wider(&batch.encoder_reals),
        decoder_reals: wider(&batch.decoder_reals),
        ..batch
    };
    assert_eq!(network.forward(&batch).unwrap().targets, expected.targets);
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
