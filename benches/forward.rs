//! Forward passes: the built-in model, the network of golden set a, and one of that structure that is 128 wide, from
//! tensors to outputs, on the engine with one and two threads and, where that is bearable, on burn; and forecasts of
//! whole fleets.
//!
//! ```sh
//! cargo bench --workspace --bench forward
//! ```

use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ndarray::Axis;
use safetensors::tensor::{Dtype, TensorView};
use tft_core::engine::{Detail, Engine, EngineConfig};
use tft_core::model::{Architecture, Encoding, History, NetworkOutput, TensorBatch, default_device};
use tft_core::schema::{MetricKind, Schema};
use tft_core::time::{StepLength, Timestamp};
use tft_core::{Forecaster, ForecasterConfig, Model, Record, RollingWindow, WindowConfig};

const START_MS: i64 = 1_767_571_200_000;

/// A daily wave with some roughness; deterministic.
fn value(series: usize, step: usize) -> f64 {
    let wave = (step as f64 / 288.0 * std::f64::consts::TAU + series as f64).sin();
    50.0 + 30.0 * wave + ((step * 7919 + series * 104_729) % 97) as f64 / 20.0
}

fn built_in_model(criterion: &mut Criterion) {
    let model = Model::built_in().expect("the built-in model loads");
    let Encoding::Univariate(encoding) = &model.document().encoding else { return };
    for windows in [1, 20, 100, 1000].into_iter().take(if is_test() { 1 } else { 4 }) {
        let steps = encoding.history_steps();
        let series: Vec<Vec<f32>> =
            (0..windows).map(|series| (0..steps).map(|step| value(series, step) as f32).collect()).collect();
        let origin = Timestamp::from_millis(START_MS);
        let histories: Vec<_> =
            series.iter().map(|values| History { values, origin, kind: MetricKind::Percentage }).collect();
        let encoded = encoding.encode(&histories, StepLength::FIVE_MINUTES).expect("histories fit");
        compare(criterion, "built-in model", &model, &encoded.batch);
    }
}

fn golden_set_a(criterion: &mut Criterion) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tft-core/tests/fixtures/golden/a/model");
    let model = Model::from_dir(folder).expect("the fixture loads");
    for windows in [1, 20, 100, 1000].into_iter().take(if is_test() { 1 } else { 4 }) {
        compare(criterion, "golden set a", &model, &batch_of(&model, windows));
    }
}

/// The structure of golden set a with the sizes of a larger network, and random weights.
fn wide(criterion: &mut Criterion) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tft-core/tests/fixtures/golden/a/model");
    let document = std::fs::read(folder.join(Model::DOCUMENT_FILE)).expect("the fixture is there");
    let mut document: serde_json::Value = serde_json::from_slice(&document).expect("the fixture is JSON");
    document["architecture"]["hidden_size"] = 128.into();
    document["architecture"]["hidden_continuous_size"] = 64.into();
    document["architecture"]["hidden_continuous_sizes"] = serde_json::json!({});
    document.as_object_mut().expect("it is an object").remove("weights_sha256");
    let architecture: Architecture =
        serde_json::from_value(document["architecture"].clone()).expect("the sizes are valid");
    let document = serde_json::to_vec(&document).expect("it was JSON");
    let model = Model::from_bytes(&document, &random_weights(&architecture), "wide").expect("the model fits");
    for windows in [1, 20, 100].into_iter().take(if is_test() { 1 } else { 3 }) {
        compare(criterion, "128 wide", &model, &batch_of(&model, windows));
    }
}

/// A weight file of small numbers; deterministic.
fn random_weights(architecture: &Architecture) -> Vec<u8> {
    let mut state = 1u32;
    let mut number = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 * 0.2 - 0.1
    };
    let tensors: Vec<_> = architecture
        .tensor_shapes()
        .into_iter()
        .map(|(name, shape)| {
            let bytes: Vec<u8> =
                (0..shape.iter().product()).flat_map(|_: usize| number().to_le_bytes()).collect();
            (name, shape, bytes)
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).expect("the bytes fill the shape");
        (name, view)
    });
    safetensors::serialize(views, None).expect("names and sizes are valid")
}

/// A batch of the model's largest windows, filled with waves.
fn batch_of(model: &Model, windows: usize) -> TensorBatch {
    let architecture = &model.document().architecture;
    let (encoder, decoder) = (architecture.max_encoder_length, model.document().encoding.horizon_steps());
    let reals = |steps: usize| {
        let shape = (windows, steps, architecture.x_reals.len());
        ndarray::Array3::from_shape_fn(shape, |(w, t, c)| ((w * 31 + t * 7 + c) as f32 / 11.0).sin())
    };
    let codes = |steps: usize| ndarray::Array3::zeros((windows, steps, architecture.x_categoricals.len()));
    TensorBatch {
        encoder_reals: reals(encoder),
        encoder_categoricals: codes(encoder),
        decoder_reals: reals(decoder),
        decoder_categoricals: codes(decoder),
        encoder_lengths: vec![encoder; windows],
        decoder_lengths: vec![decoder; windows],
    }
}

/// Whether everything is to run once: `cargo test` runs it without `--bench`.
fn is_test() -> bool {
    !std::env::args().any(|argument| argument == "--bench")
}

/// Times one batch on the engine and, while that is bearable, on burn.
fn compare(criterion: &mut Criterion, name: &str, model: &Model, batch: &TensorBatch) {
    let windows = batch.encoder_reals.len_of(Axis(0));
    let mut group = criterion.benchmark_group(format!("{name}, windows"));
    group.sample_size(10).throughput(Throughput::Elements(windows as u64));
    for threads in [1, 2] {
        let engine = Engine::new(model, EngineConfig { threads }).expect("the configuration is valid");
        let id = BenchmarkId::new(format!("engine, threads {threads}"), windows);
        let mut output = NetworkOutput::default();
        group.bench_function(id, |bencher| {
            bencher.iter(|| {
                let done = engine.forward_into(batch, Detail::Predictions, None, &mut output);
                done.expect("the batch fits");
                black_box(&output);
            });
        });
    }
    if windows <= 20 && model.document().architecture.hidden_size < 128 {
        let network = model.network(&default_device());
        group.bench_function(BenchmarkId::new("burn", windows), |bencher| {
            bencher.iter(|| black_box(network.forward(batch).expect("the batch fits")));
        });
    }
    group.finish();
}

fn fleet(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("forecast, servers of 14 metrics");
    for (servers, threads) in [(20, 1), (1000, 1), (1000, 2)].into_iter().take(if is_test() { 1 } else { 3 })
    {
        let model = Model::built_in().expect("the built-in model loads");
        let config = ForecasterConfig { threads, ..ForecasterConfig::default() };
        let mut forecaster = Forecaster::new(model, config).expect("the configuration is valid");
        let window = filled_window(servers, forecaster.history_steps());
        let now = Timestamp::from_millis(START_MS + 300_000 * forecaster.history_steps() as i64);
        group.sample_size(10).throughput(Throughput::Elements(servers as u64));
        group.bench_function(BenchmarkId::new(format!("threads {threads}"), servers), |bencher| {
            bencher.iter(|| black_box(forecaster.forecast(&window, now).expect("the window fits")));
        });
    }
    group.finish();
}

fn filled_window(servers: usize, steps: usize) -> RollingWindow {
    let schema = Schema::server_metrics();
    let config = WindowConfig { steps_per_server: steps, ..WindowConfig::default() };
    let mut window = RollingWindow::new(schema.clone(), config).expect("the configuration is valid");
    for step in 0..steps {
        let at = Timestamp::from_millis(START_MS + 300_000 * step as i64);
        for server in 0..servers {
            let mut record = Record::new(&schema, &format!("web{server}"), at).expect("the name is valid");
            for (index, metric) in schema.metrics()[..14].iter().enumerate() {
                let value = value(server * 14 + index, step);
                record = record.with(&metric.name, value).expect("the value is in range");
            }
            window.ingest(&[record], at).expect("one record is within the limits");
        }
    }
    window
}

criterion_group!(benches, built_in_model, golden_set_a, wide, fleet);
criterion_main!(benches);
