//! The built-in model against the Python that trained it: encoded tensors, network outputs and predictions.
//!
//! `tft-core/scripts/train_default_model.py` writes the fixture.

use ndarray::{Array2, Array3, ArrayD, Axis, Ix2};
use tft_core::Model;
use tft_core::model::{EncodedHistories, Encoding, History, Network, UnivariateEncoding, default_device};
use tft_core::schema::MetricKind;
use tft_core::time::{StepLength, Timestamp};

use crate::golden::{Tensors, fixtures};

const ENCODED: f64 = 5e-7;
const PREDICTION: f64 = 1e-4;

fn fixture() -> Tensors {
    Tensors::read(&fixtures().join("default_model.safetensors"))
}

fn encoding(model: &Model) -> &UnivariateEncoding {
    match &model.document().encoding {
        Encoding::Univariate(encoding) => encoding,
        other => panic!("unexpected encoding {other:?}"),
    }
}

fn encode(model: &Model, fixture: &Tensors) -> EncodedHistories {
    let history: Array2<f32> = fixture.f32("history").into_dimensionality::<Ix2>().unwrap();
    let (origins, kinds) = (fixture.integers("origin_ms"), fixture.integers("kind"));
    let kind = |code: i64| [MetricKind::Percentage, MetricKind::Continuous, MetricKind::Count][code as usize];
    let histories: Vec<_> = history
        .axis_iter(Axis(0))
        .enumerate()
        .map(|(window, values)| History {
            values: values.to_slice().unwrap(),
            origin: Timestamp::from_millis(origins[window]),
            kind: kind(kinds[window]),
        })
        .collect();
    encoding(model).encode(&histories, StepLength::FIVE_MINUTES).unwrap()
}

#[test]
fn histories_become_the_same_tensors() {
    let (model, fixture) = (Model::built_in().unwrap(), fixture());
    let encoded = encode(&model, &fixture);
    assert_close(
        "encoder_cont",
        &to_f64(&encoded.batch.encoder_reals),
        &fixture.f64("encoder_cont"),
        ENCODED,
    );
    assert_close(
        "decoder_cont",
        &to_f64(&encoded.batch.decoder_reals),
        &fixture.f64("decoder_cont"),
        ENCODED,
    );
    let codes = encoded.batch.encoder_categoricals.mapv(i64::from).into_dyn();
    assert_eq!(codes, fixture.integers("encoder_cat"));
    assert_close("baseline", &encoded.baseline.clone().into_dyn(), &fixture.f64("baseline"), 1e-9);
}

#[test]
fn tensors_become_the_same_predictions() {
    let (model, fixture) = (Model::built_in().unwrap(), fixture());
    let encoded = encode(&model, &fixture);
    let network: Network = model.network(&default_device());
    let output = network.forward(&encoded.batch).unwrap();
    assert_close("network_output", &to_f64(&output.targets[0]), &fixture.f64("network_output"), PREDICTION);
    let predictions = encoded.predictions(&output, model.document().calibration.as_ref()).unwrap();
    let expected = fixture.f64("prediction");
    for (window, found) in predictions.axis_iter(Axis(0)).enumerate() {
        let expected = expected.index_axis(Axis(0), window).to_owned();
        let allowed = PREDICTION * encoded.scale[window];
        for (found, expected) in found.iter().zip(&expected) {
            let tolerance = allowed.max(PREDICTION * expected.abs());
            assert!((found - expected).abs() <= tolerance, "window {window}: {found}, expected {expected}");
        }
    }
}

fn to_f64(array: &Array3<f32>) -> ArrayD<f64> {
    array.mapv(f64::from).into_dyn()
}

fn assert_close(name: &str, found: &ArrayD<f64>, expected: &ArrayD<f64>, tolerance: f64) {
    assert_eq!(found.shape(), expected.shape(), "{name}");
    for ((index, found), expected) in found.indexed_iter().zip(expected) {
        let allowed = tolerance * expected.abs().max(1.0);
        assert!((found - expected).abs() <= allowed, "{name} at {index:?}: {found}, expected {expected}");
    }
}
