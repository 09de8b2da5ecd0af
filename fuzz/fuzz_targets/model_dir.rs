//! Any bytes as a model directory: an error, or a model whose encoding takes rows and histories without
//! panicking.
//!
//! The first byte chooses what the rest replaces in a small valid model: `model.json` of a data-set model, its
//! weights, or `model.json` of the built-in model.
//!
//! Run with `cargo fuzz run -s none model_dir`.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tft_core::Model;
use tft_core::model::{Column, Encoding, History, Rows};
use tft_core::schema::MetricKind;
use tft_core::time::Timestamp;

/// Without its checksum, so that changed weights are looked at.
static DATASET: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let text = include_bytes!("../../tft-core/tests/fixtures/golden/c/model/model.json");
    let mut document: serde_json::Value = serde_json::from_slice(text).expect("the fixture is JSON");
    document["weights_sha256"].take();
    serde_json::to_vec(&document).expect("JSON can be written")
});
const DATASET_WEIGHTS: &[u8] = include_bytes!("../../tft-core/tests/fixtures/golden/c/model/model.safetensors");
const BUILT_IN_WEIGHTS: &[u8] = include_bytes!("../../tft-core/models/default/model.safetensors");

/// Longest history that is tried; a description may ask for years.
const HISTORY_STEPS_MAX: usize = 10_000;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, bytes)) = bytes.split_first() else { return };
    let loaded = match choice % 3 {
        0 => Model::from_bytes(bytes, DATASET_WEIGHTS, "fuzz"),
        1 => Model::from_bytes(&DATASET, bytes, "fuzz"),
        _ => Model::from_bytes(bytes, BUILT_IN_WEIGHTS, "fuzz"),
    };
    let Ok(model) = loaded else { return };
    assert!(model.parameters() > 0);
    match &model.document().encoding {
        Encoding::PytorchForecasting(encoding) => {
            drop(encoding.encode_last(&rows()));
            drop(encoding.encode_series(&rows(), &[0..20, 20..20, 20..60]));
        }
        Encoding::Univariate(encoding) if encoding.history_steps() <= HISTORY_STEPS_MAX => {
            let values: Vec<f32> = (0..encoding.history_steps()).map(|step| (step % 7) as f32).collect();
            let origin = Timestamp::from_millis(1_767_571_200_000);
            let history = History { values: &values, origin, kind: MetricKind::Count };
            let encoded = encoding.encode(&[history], model.document().step_ms);
            assert!(encoded.is_ok_and(|encoded| encoded.batch.validate(&model.document().architecture).is_ok()));
        }
        _ => {}
    }
});

/// Rows of the columns that the small model reads: three series, one of them unknown to it.
fn rows() -> Rows {
    let series = ["s0", "s1", "new"];
    let groups = series.iter().flat_map(|name| std::iter::repeat_n((*name).to_owned(), 20)).collect();
    let steps = (0..60).map(|row| f64::from(row % 20)).collect();
    let values = (0..60).map(|row| f64::from(row * 13 % 17)).collect();
    let columns = [("g", Column::Texts(groups)), ("time_idx", Column::Reals(steps)), ("y", Column::Reals(values))];
    columns.into_iter().fold(Rows::new(), |rows, (name, column)| rows.with(name, column).expect("equal lengths"))
}
