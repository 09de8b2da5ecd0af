//! What the engine keeps between passes changes nothing but time: every pass of a moving fleet has, to the last
//! bit, the result that it has without.

use ndarray::{Array2, Array3, s};
use proptest::collection::vec;
use proptest::prelude::*;
use tft_core::Model;
use tft_core::engine::{Detail, Engine, EngineConfig, StreamCache, StreamWindow};
use tft_core::model::{NetworkOutput, TensorBatch};

use crate::golden::GoldenSet;
use crate::random_network::networks;

/// Series of inputs that all start at step 0.
struct Fleet {
    /// `[step][column]` of each series.
    series: Vec<Array2<f32>>,
    categoricals: usize,
    steps: [usize; 2],
}

impl Fleet {
    /// Some columns are equal for the whole fleet, some are constant, the others differ.
    fn new(model: &Model, series: usize, clock_steps: usize, steps: [usize; 2]) -> Self {
        let architecture = &model.document().architecture;
        let value = |series: usize, step: usize, column: usize| {
            let of = match column % 4 {
                0 => 0,
                _ => series + 1,
            };
            let step = if column % 7 == 3 { 0 } else { step };
            ((of * 37 + step * 11 + column * 5) as f32 / 7.0).sin() * 1.5
        };
        let shape = (clock_steps, architecture.x_reals.len());
        Self {
            series: (0..series)
                .map(|of| Array2::from_shape_fn(shape, |(step, column)| value(of, step, column)))
                .collect(),
            categoricals: architecture.x_categoricals.len(),
            steps,
        }
    }

    /// The windows of some series that end before a step, each with as much history as there is.
    fn batch(&self, which: &[usize], origins: &[usize]) -> (TensorBatch, Vec<StreamWindow>) {
        let [encoder, decoder] = self.steps;
        let columns = self.series[0].ncols();
        let mut batch = TensorBatch {
            encoder_reals: Array3::zeros((which.len(), encoder, columns)),
            encoder_categoricals: Array3::zeros((which.len(), encoder, self.categoricals)),
            decoder_reals: Array3::zeros((which.len(), decoder, columns)),
            decoder_categoricals: Array3::zeros((which.len(), decoder, self.categoricals)),
            encoder_lengths: Vec::new(),
            decoder_lengths: vec![decoder; which.len()],
        };
        let mut windows = Vec::new();
        for (window, (&series, &origin)) in which.iter().zip(origins).enumerate() {
            let first = origin.saturating_sub(encoder);
            let history = self.series[series].slice(s![first..origin, ..]);
            batch.encoder_reals.slice_mut(s![window, ..origin - first, ..]).assign(&history);
            let future = self.series[series].slice(s![origin..origin + decoder, ..]);
            batch.decoder_reals.slice_mut(s![window, .., ..]).assign(&future);
            batch.encoder_lengths.push(origin - first);
            windows.push(StreamWindow { series: series as u64, first_step: first as i64 - 5 });
        }
        (batch, windows)
    }
}

/// Every column is kept but the second, as if it were scaled by its window.
fn cache(model: &Model, bytes: usize) -> StreamCache {
    let columns = model.document().architecture.x_reals.len();
    StreamCache::new(bytes, (0..columns).map(|column| column != 1).collect())
}

fn assert_same(plain: &NetworkOutput, streamed: &NetworkOutput) -> Result<(), TestCaseError> {
    prop_assert_eq!(&plain.targets, &streamed.targets);
    prop_assert_eq!(&plain.encoder_attention, &streamed.encoder_attention);
    prop_assert_eq!(&plain.decoder_attention, &streamed.decoder_attention);
    prop_assert_eq!(&plain.static_weights, &streamed.static_weights);
    prop_assert_eq!(&plain.encoder_weights, &streamed.encoder_weights);
    prop_assert_eq!(&plain.decoder_weights, &streamed.decoder_weights);
    Ok(())
}

/// Runs a pass with and without the cache and compares.
fn check(
    engine: &Engine,
    cache: &StreamCache,
    (batch, windows): &(TensorBatch, Vec<StreamWindow>),
    output: &mut NetworkOutput,
) -> Result<(), TestCaseError> {
    engine.forward_into(batch, Detail::Explained, Some((cache, windows)), output).unwrap();
    assert_same(&engine.forward(batch, Detail::Explained).unwrap(), output)
}

#[test]
fn a_moving_fleet_has_the_same_forecasts_with_and_without_the_cache() {
    let model = GoldenSet::new("a").model();
    let mut fleet = Fleet::new(&model, 9, 420, [288, 96]);
    for (threads, bytes) in [(1, usize::MAX), (3, 12 << 20), (1, 200_000), (1, 0)] {
        let engine = Engine::new(&model, EngineConfig { threads }).unwrap();
        for engine in engine.on_each_instruction_set() {
            let cache = cache(&model, bytes);
            let mut output = NetworkOutput::default();
            let all: Vec<usize> = (0..9).collect();
            // Step after step, then a late correction, a jump, a part of the fleet in another order, and back.
            for origin in [300, 301, 302] {
                check(&engine, &cache, &fleet.batch(&all, &[origin; 9]), &mut output).unwrap();
            }
            fleet.series[4][[290, 40]] += 0.5;
            check(&engine, &cache, &fleet.batch(&all, &[302; 9]), &mut output).unwrap();
            check(&engine, &cache, &fleet.batch(&all, &[324; 9]), &mut output).unwrap();
            cache.forget_unused();
            check(&engine, &cache, &fleet.batch(&[7, 2, 5], &[320, 324, 250]), &mut output).unwrap();
            cache.forget_unused();
            assert!(cache.series() <= 3 && cache.bytes() <= bytes);
            check(&engine, &cache, &fleet.batch(&all, &[322; 9]), &mut output).unwrap();
            assert!(cache.bytes() <= bytes && (cache.bytes() > 0) == (bytes > 0), "{}", cache.bytes());
        }
    }
}

/// Models that are loaded anew have the same shape and other weights.
#[test]
fn what_another_model_has_kept_is_not_used() {
    let first = GoldenSet::new("a").model();
    let fleet = Fleet::new(&first, 3, 60, [40, 12]);
    let cache = cache(&first, usize::MAX);
    let mut output = NetworkOutput::default();
    for model in [&first, &with_other_weights("a")] {
        let engine = Engine::new(model, EngineConfig::default()).unwrap();
        for origin in [44, 44] {
            check(&engine, &cache, &fleet.batch(&[0, 1, 2], &[origin; 3]), &mut output).unwrap();
        }
    }
}

#[test]
fn a_stream_of_another_length_than_the_batch_is_refused() {
    let model = GoldenSet::new("a").model();
    let engine = Engine::new(&model, EngineConfig::default()).unwrap();
    let (batch, windows) = Fleet::new(&model, 2, 60, [40, 12]).batch(&[0, 1], &[41, 42]);
    let cache = cache(&model, 0);
    let mut output = NetworkOutput::default();
    let error = engine
        .forward_into(&batch, Detail::Predictions, Some((&cache, &windows[1..])), &mut output)
        .unwrap_err();
    assert_eq!(error.to_string(), "the stream has 1 windows, the batch has 2");
}

/// One pass: which series, and where each is.
fn passes() -> impl Strategy<Value = Vec<Vec<(usize, usize)>>> {
    vec(vec((0_usize..6, 1_usize..20), 1..9), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn any_passes_of_any_network_have_the_same_results(
        network in networks(),
        passes in passes(),
        (bytes, threads) in (prop_oneof![Just(0), 0_usize..50_000, Just(usize::MAX)], 1_usize..3),
    ) {
        let model = network.model();
        let mut fleet = Fleet::new(&model, 6, 25, [9, 5]);
        let engine = Engine::new(&model, EngineConfig { threads }).unwrap();
        for engine in engine.on_each_instruction_set() {
            let cache = cache(&model, bytes);
            let mut output = NetworkOutput::default();
            for (number, pass) in passes.iter().enumerate() {
                let (which, origins): (Vec<_>, Vec<_>) = pass.iter().copied().unzip();
                check(&engine, &cache, &fleet.batch(&which, &origins), &mut output)?;
                prop_assert!(cache.bytes() <= bytes);
                let series = &mut fleet.series[which[0]];
                if let Some(column) = number.checked_rem(series.ncols()) {
                    series[[number, column]] += 1.0;
                }
                if number % 2 == 1 {
                    cache.forget_unused();
                }
            }
        }
    }
}

/// A golden set's model with every weight's sign turned.
fn with_other_weights(set: &str) -> Model {
    let set = GoldenSet::new(set);
    let document = std::fs::read(set.model_file("model.json")).unwrap();
    let mut document: serde_json::Value = serde_json::from_slice(&document).unwrap();
    document.as_object_mut().unwrap().remove("weights_sha256");
    let mut weights = std::fs::read(set.model_file("model.safetensors")).unwrap();
    let header = u64::from_le_bytes(*weights.first_chunk().unwrap()) as usize + 8;
    for value in weights[header..].as_chunks_mut::<4>().0 {
        value[3] ^= 0x80;
    }
    Model::from_bytes(&serde_json::to_vec(&document).unwrap(), &weights, "other").unwrap()
}
