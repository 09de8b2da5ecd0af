//! A model directory proves itself by the outputs that were recorded beside it.

use std::path::PathBuf;

use ndarray::{ArrayD, Axis};
use serde_json::{Value, json};
#[cfg(feature = "burn")]
use tft_core::model::{CenterScale, Encoding, default_device};
use tft_core::model::{Executor, Model, OutputDifference, Tolerance, Verification};
use tft_core::{Error, ErrorKind};

use crate::golden::{GoldenSet, Tensors, fixtures};

fn exported() -> PathBuf {
    fixtures().join("exported/g")
}

fn document() -> Value {
    serde_json::from_slice(&std::fs::read(exported().join(Verification::EXPECTED_FILE)).unwrap()).unwrap()
}

fn verify(document: &Value) -> Result<Verification, Error> {
    let model = Model::from_dir(exported()).unwrap();
    Verification::of(&model, &serde_json::to_vec(document).unwrap(), "expected.json")
}

/// The error of a changed document, with its causes.
fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let mut document = document();
    change(&mut document);
    let error = verify(&document).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidModel, "{error}");
    let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}

/// The names of what differs, which must be the same for every executor.
fn differing(verification: &Verification) -> Vec<&'static str> {
    let by = |executor: &Executor| -> Vec<_> {
        let outputs = verification.outputs.iter().filter(|output| output.executor == *executor);
        outputs.filter(|output| !output.is_within_tolerance()).map(|output| output.output).collect()
    };
    let mut by = Executor::ALL.iter().map(by);
    let first = by.next().unwrap();
    assert!(by.all(|other| other == first), "{verification:?}");
    first
}

#[test]
fn an_exported_model_is_verified() {
    let verification = Verification::of_dir(exported()).unwrap();
    assert_eq!((verification.windows, verification.windows_from_rows), (2, 2));
    assert!(verification.is_within_tolerance(), "{verification:?}");
    let name = |output: &OutputDifference| format!("{} {}", output.output, output.values);
    let by = |executor: &Executor| -> Vec<_> {
        verification.outputs.iter().filter(|output| output.executor == *executor).map(name).collect()
    };
    let names = by(&Executor::ALL[0]);
    assert!(Executor::ALL.iter().all(|executor| by(executor) == names), "{verification:?}");
    insta::assert_snapshot!(names.join(", "), @"prediction 72, network_output 72, encoder_attention 288, decoder_attention 72, static_variables 2, encoder_variables 120, decoder_variables 6, row_predictions 72");
}

#[test]
fn every_output_is_compared() {
    let reference = document();
    for name in reference["outputs"].as_object().unwrap().keys() {
        let mut changed = reference.clone();
        let mut number = &mut changed["outputs"][name];
        while number.is_array() {
            number = &mut number[0];
        }
        *number = json!(number.as_f64().unwrap() + 0.01);
        let verification = verify(&changed).unwrap();
        assert_eq!(differing(&verification), [name.as_str()]);
        for output in verification.outputs.iter().filter(|output| output.output == name) {
            assert!((output.largest_absolute - 0.01).abs() < 1e-4, "{output:?}");
        }
    }
    let mut changed = reference.clone();
    changed["row_predictions"][3][1][2][2] = json!(1e6);
    assert_eq!(differing(&verify(&changed).unwrap()), ["row_predictions"]);
    let mut changed = reference;
    changed["rows"]["load"][29] = json!(0.5);
    assert!(verify(&changed).unwrap().is_within_tolerance(), "the last decoder step's target is no input");
    changed["rows"]["load"][0] = json!(50.0);
    assert_eq!(differing(&verify(&changed).unwrap()), ["row_predictions"]);
}

#[test]
fn padded_steps_are_not_compared() {
    let set = GoldenSet::new("b");
    let (inputs, mut outputs) = (set.tensors("inputs_varlen"), recorded(&set.tensors("outputs_varlen")));
    let names = ["encoder_cont", "encoder_cat", "decoder_cont", "decoder_cat"];
    let names = names.into_iter().chain(["encoder_lengths", "decoder_lengths", "target_scale"]);
    let inputs: serde_json::Map<_, _> =
        names.map(|name| (name.to_owned(), nested(&inputs.f64(name)))).collect();
    outputs["prediction"][2][3][12][0] = json!(1e9);
    outputs["encoder_attention"][3][0][0][8] = json!(0.5);
    outputs["encoder_variables"][2][8][0] = json!(0.5);
    let document = json!({ "format_version": 1, "inputs": inputs, "outputs": outputs });
    let verify = |document: &Value| {
        Verification::of(&set.model(), &serde_json::to_vec(document).unwrap(), "b").unwrap()
    };
    let verification = verify(&document);
    assert!(verification.is_within_tolerance(), "{verification:?}");
    assert_eq!((verification.windows, verification.windows_from_rows), (4, 0));
    let mut changed = document;
    changed["outputs"]["encoder_variables"][2][7][0] = json!(0.5);
    assert_eq!(differing(&verify(&changed)), ["encoder_variables"]);
}

/// The outputs of a golden set as the export script writes them.
fn recorded(outputs: &Tensors) -> Value {
    let unstacked = |name| outputs.f64(name).remove_axis_of_one();
    json!({
        "prediction": nested(&outputs.f64("prediction")),
        "network_output": nested(&outputs.f64("network_output")),
        "encoder_attention": nested(&outputs.f64("encoder_attention")),
        "decoder_attention": nested(&outputs.f64("decoder_attention")),
        "static_variables": nested(&unstacked("static_variables")),
        "encoder_variables": nested(&unstacked("encoder_variables")),
        "decoder_variables": nested(&unstacked("decoder_variables")),
    })
}

trait RemoveAxis {
    fn remove_axis_of_one(self) -> Self;
}

impl RemoveAxis for ArrayD<f64> {
    /// Removes the axis before the last, which the reference has for the LSTM's layers.
    fn remove_axis_of_one(self) -> Self {
        let axis = Axis(self.ndim() - 2);
        self.index_axis_move(axis, 0)
    }
}

fn nested(array: &ArrayD<f64>) -> Value {
    match array.ndim() {
        0 => {
            let value = array.first().copied().unwrap();
            if value.fract() == 0.0 { json!(value as i64) } else { json!(value) }
        }
        _ => array.outer_iter().map(|part| nested(&part.to_owned())).collect(),
    }
}

#[test]
fn attention_may_be_left_out() {
    let mut document = document();
    let outputs = document["outputs"].as_object_mut().unwrap();
    outputs.remove("encoder_attention");
    outputs.remove("decoder_attention");
    let verification = verify(&document).unwrap();
    assert!(
        verification.is_within_tolerance() && verification.outputs.len() == 6 * Executor::ALL.len(),
        "{verification:?}"
    );
}

#[test]
fn columns_without_a_type_are_read_by_their_values() {
    let mut document = document();
    document.as_object_mut().unwrap().remove("row_dtypes");
    let verification = verify(&document).unwrap();
    assert_eq!(verification.windows_from_rows, 2);
    assert!(verification.is_within_tolerance(), "{verification:?}");
}

#[test]
fn what_is_wrong_is_named() {
    let refusals = [
        refusal(|d| d["format_version"] = json!(2)),
        refusal(|d| *d = json!({ "format_version": 1, "outputs": {} })),
        refusal(|d| remove(d, &["inputs", "target_scale"])),
        refusal(|d| remove(d, &["outputs", "prediction"])),
        refusal(|d| shorten(&mut d["outputs"]["encoder_variables"][1])),
        refusal(|d| d["outputs"]["static_variables"] = json!([[1.0, 0.0], [1.0, 0.0]])),
        refusal(|d| shorten(&mut d["outputs"]["prediction"])),
        refusal(|d| d["inputs"]["encoder_cont"][0][3][1] = json!("high")),
        refusal(|d| d["inputs"]["encoder_lengths"] = json!([12, 2.5])),
        refusal(|d| d["inputs"]["encoder_lengths"] = json!([12, 13])),
        refusal(|d| d["inputs"]["encoder_lengths"] = json!([])),
        refusal(|d| d["rows"]["load"][1] = json!("high")),
        refusal(|d| shorten(&mut d["rows"]["load"])),
        refusal(|d| remove(d, &["rows", "load"])),
        refusal(|d| d["row_dtypes"]["load"] = json!("datetime64[ns]")),
        refusal(|d| remove(d, &["row_predictions"])),
        refusal(|d| d["groups"][1][1] = json!("h4")),
        refusal(|d| d["first_prediction_idx"][1] = json!(78)),
        refusal(|d| (0..4).for_each(|target| shorten(&mut d["row_predictions"][target]))),
    ];
    insta::assert_snapshot!(refusals.join("\n"), @r#"
    `expected.json`: format_version is 2, this version reads 1
    `expected.json` does not hold expected outputs: missing field `inputs` at line 1 column 33
    `expected.json`: inputs.target_scale is missing
    `expected.json`: outputs.prediction is missing
    `expected.json`: outputs.encoder_variables is not lists of numbers, 3 deep: a list of 11 after one of 12
    `expected.json`: outputs.static_variables has shape [2, 2], expected [2, 1]
    `expected.json`: outputs.prediction has 3 targets, expected 4
    `expected.json`: inputs.encoder_cont is not lists of numbers, 3 deep: invalid type: string "high", expected f64
    `expected.json`: inputs.encoder_lengths holds 2.5, expected whole numbers from 0
    `expected.json`: the recorded inputs are not usable: the batch does not fit the network: batch.encoder_lengths of window 1 is 13, the batch has 12 steps
    `expected.json`: inputs.encoder_lengths has no windows
    `expected.json`: rows.load is not a list of float32: invalid type: string "high", expected f64
    `expected.json`: the recorded rows are not usable: column `load` has 29 rows, the others have 30
    `expected.json`: the recorded rows are not usable: rows cannot be encoded: column `load` is missing
    `expected.json`: rows.load has the unknown type `datetime64[ns]` in row_dtypes
    `expected.json`: row_predictions is missing
    `expected.json`: groups are [["s0", "h1"], ["s1", "h4"]], the rows give [["s0", "h1"], ["s1", "h5"]]
    `expected.json`: first_prediction_idx is [79, 78], the rows give [79, 79]
    `expected.json`: row_predictions has [1, 3] windows and steps, the rows give [2, 3]
    "#);
}

fn shorten(list: &mut Value) {
    list.as_array_mut().unwrap().pop();
}

fn remove(document: &mut Value, path: &[&str]) {
    let (name, objects) = path.split_last().unwrap();
    let object = objects.iter().fold(document, |object, name| &mut object[*name]);
    object.as_object_mut().unwrap().remove(*name).unwrap();
}

#[test]
fn files_are_read_within_limits() {
    let directory = tempfile::tempdir().unwrap();
    for file in [Model::DOCUMENT_FILE, Model::WEIGHTS_FILE] {
        std::fs::copy(exported().join(file), directory.path().join(file)).unwrap();
    }
    let error = Verification::of_dir(directory.path()).unwrap_err();
    assert!(error.is_io() && error.to_string().contains("expected.json"), "{error}");
    let expected = directory.path().join(Verification::EXPECTED_FILE);
    let file = std::fs::File::create(&expected).unwrap();
    file.set_len(Verification::FILE_BYTES_MAX + 1).unwrap();
    let error = Verification::of_dir(directory.path()).unwrap_err();
    assert!(error.is_limit_exceeded(), "{error}");
    std::fs::write(&expected, "{").unwrap();
    let error = Verification::of_dir(directory.path()).unwrap_err();
    assert!(error.is_invalid_model() && error.to_string().contains("expected.json"), "{error}");
}

#[test]
fn the_tolerances_are_those_of_the_contract() {
    assert_eq!(Tolerance::PREDICTION, Tolerance::Relative(1e-4));
    assert_eq!(Tolerance::WEIGHT, Tolerance::Absolute(2e-5));
}

#[cfg(feature = "default-model")]
#[test]
fn the_built_in_model_has_nothing_to_be_compared_with() {
    let error = Verification::of(&Model::built_in().unwrap(), b"{}", "expected.json").unwrap_err();
    assert!(error.is_invalid_model() && error.to_string().contains("pytorch-forecasting"), "{error}");
}

#[cfg(feature = "burn")]
#[test]
fn outputs_are_scaled_back_with_the_constants_of_every_target_and_window() {
    let set = GoldenSet::new("g");
    let model = set.model();
    let Encoding::PytorchForecasting(encoding) = &model.document().encoding else {
        panic!("unexpected encoding")
    };
    let output = model.network(&default_device()).forward(&set.tensors("inputs").batch()).unwrap();
    let refusal = |targets: usize, windows: usize| {
        let scales = vec![vec![CenterScale::default(); windows]; targets];
        let error = output.predictions(encoding, &scales).unwrap_err();
        assert!(error.is_invalid_input(), "{error}");
        error.to_string()
    };
    insta::assert_snapshot!(refusal(3, 5), @"there are 4 outputs and 3 lists of target scales, the encoding has 4 targets");
    insta::assert_snapshot!(refusal(4, 6), @"target 0 has 5 windows and 6 target scales");
    let predictions = output.predictions(encoding, &vec![vec![CenterScale::default(); 5]; 4]).unwrap();
    assert_eq!(predictions[3], output.targets[3].mapv(|y| y.max(0.0)));
}
