//! The stages of the network, compared with what the reference's modules returned for one window.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use ndarray::{Array3, Axis};
use safetensors::SafeTensors;

use super::gated_residual::gated_linear_unit;
use super::inputs::{Inputs, Rows};
use super::lstm::LstmState;
use super::selection::{Selected, VariableSelection, scores};
use super::{Contexts, Network, by_row, by_window, default_device, last_steps, recur};
use crate::model::{Model, TensorBatch};

/// Relative to values above 1.
const TOLERANCE: f32 = 2e-5;
/// The fixture of a large set has every eighth step only.
const STEPS_APART: usize = 8;

#[test]
fn stages_of_set_a() {
    check("a");
}

#[test]
fn stages_of_set_b() {
    check("b");
}

#[test]
fn stages_of_set_c() {
    check("c");
}

/// Runs the network stage by stage, each on what the stages before it returned.
fn check(set: &str) {
    let device = default_device();
    let network = Model::from_dir(folder(set).join("model")).unwrap().network(&device);
    let inputs = Inputs::new(&first_window(set), &device);
    let mut reference = Reference::of(set);
    let contexts = check_static(&network, &inputs.encoder, &mut reference);
    let context = Some(contexts.variable_selection.clone());
    let history = check_selection(&network, 1, &inputs.encoder, context.clone(), &mut reference).mixture;
    let future = check_selection(&network, 2, &inputs.decoder, context, &mut reference).mixture;
    check_recurrence(&network, &inputs, [&history, &future], &contexts, &mut reference);
    let temporal = network.temporal_features(&inputs, history, future, &contexts);
    check_temporal(&inputs, &temporal, &mut reference);
    check_decoder(&network, &inputs, temporal, contexts.enrichment, &mut reference);
    assert!(reference.0.is_empty(), "not compared: {:?}", reference.0.keys());
}

fn check_static(network: &Network, rows: &Rows, reference: &mut Reference) -> Contexts {
    let statics = check_selection(network, 0, &rows.first_steps(), None, reference);
    let contexts = network.modules.contexts.forward(&statics.mixture);
    let named = [
        ("variable_selection", &contexts.variable_selection),
        ("initial_hidden_lstm", &contexts.initial_hidden),
        ("initial_cell_lstm", &contexts.initial_cell),
        ("enrichment", &contexts.enrichment),
    ];
    for (name, context) in named {
        reference.compare(&format!("static_context_{name}"), context.clone());
    }
    contexts
}

/// Compares one of the three selections: static, encoder, decoder.
fn check_selection(
    network: &Network,
    index: usize,
    rows: &Rows,
    context: Option<Tensor<2>>,
    reference: &mut Reference,
) -> Selected {
    let modules = &network.modules;
    let selection =
        [&modules.static_selection, &modules.encoder_selection, &modules.decoder_selection][index];
    let variables = &network.architecture.selections()[index];
    let selected = selection.forward(&modules.shared, rows, context.clone());
    if let Some(transformed) = selection.transform(&modules.shared, rows) {
        let names: Vec<&String> = variables.categoricals.iter().chain(&variables.reals).collect();
        check_variables(selection, &names, &transformed.outputs, variables.network, reference);
        if let Some(flattened) = &selection.flattened {
            let scores = scores(flattened, transformed.flat, context);
            reference.compare_if_there(&format!("{}.flattened_grn", variables.network), scores);
        }
    }
    reference.compare_if_there(&format!("{}.0", variables.network), selected.mixture.clone());
    let name = format!("{}.1", variables.network);
    match &selected.weights {
        Some(weights) => reference.compare_if_there(&name, weights.clone()),
        None => assert!(reference.0.remove(&name).is_none_or(|(_, weights)| weights.is_empty())),
    }
    selected
}

/// Compares the outputs of those variables' networks that the reference holds.
fn check_variables(
    selection: &VariableSelection,
    names: &[&String],
    outputs: &Tensor<3>,
    network: &str,
    reference: &mut Reference,
) {
    for (place, &position) in selection.weight_order.iter().enumerate() {
        let output = outputs.clone().narrow(0, place, 1);
        reference.compare_if_there(&format!("{network}.single.{}", names[position]), output);
    }
}

fn check_recurrence(
    network: &Network,
    inputs: &Inputs,
    [history, future]: [&Tensor<2>; 2],
    contexts: &Contexts,
    reference: &mut Reference,
) {
    let modules = &network.modules;
    let initial = contexts.initial_state(network.architecture.lstm_layers);
    let (past, state) = recur(&modules.lstm_encoder, &inputs.encoder, history.clone(), initial);
    let (ahead, end) = recur(&modules.lstm_decoder, &inputs.decoder, future.clone(), state.clone());
    for (side, output, state) in [("encoder", &past, state), ("decoder", &ahead, end)] {
        reference.compare(&format!("lstm_{side}.out"), output.clone());
        let LstmState { hidden, cell } = state;
        reference.compare(&format!("lstm_{side}.h"), Tensor::cat(hidden, 0));
        reference.compare(&format!("lstm_{side}.c"), Tensor::cat(cell, 0));
    }
    for (name, output) in [("post_lstm_gate_encoder", past), ("post_lstm_gate_encoder#1", ahead)] {
        reference.compare(name, gated_linear_unit(modules.post_lstm.gate.forward(output)));
    }
}

/// The reference runs one module on both sides; its second call is the decoder's.
fn check_temporal(inputs: &Inputs, temporal: &Tensor<3>, reference: &mut Reference) {
    let (past, ahead) = (inputs.encoder.steps, inputs.decoder.steps);
    reference.compare("post_lstm_add_norm_encoder", temporal.clone().narrow(1, 0, past));
    reference.compare("post_lstm_add_norm_encoder#1", temporal.clone().narrow(1, past, ahead));
}

fn check_decoder(
    network: &Network,
    inputs: &Inputs,
    temporal: Tensor<3>,
    enrichment: Tensor<2>,
    reference: &mut Reference,
) {
    let (modules, steps) = (&network.modules, inputs.decoder.steps);
    let context = enrichment.clone();
    let enriched = modules.static_enrichment.forward_with_context(by_row(temporal.clone()), context);
    reference.compare("static_enrichment", enriched.clone());
    let enriched = by_window(enriched, inputs.windows);
    let (attended, _) = modules.attention.forward(enriched.clone(), network.attention_mask(inputs));
    reference.compare("multihead_attn.0", attended.clone());
    let attended = modules.post_attention.forward(by_row(attended), last_steps(enriched, steps));
    reference.compare("post_attn_gate_norm", attended.clone());
    reference.compare("pos_wise_ff", modules.position_wise.forward(attended));
    reference.compare("pre_output_gate_norm", network.fuse(inputs, temporal, enrichment).0);
}

/// The reference's tensors that were not compared yet, by the names of its modules.
struct Reference(BTreeMap<String, (Vec<usize>, Vec<f32>)>);

impl Reference {
    fn of(set: &str) -> Self {
        let bytes = std::fs::read(folder(set).join("intermediates.safetensors")).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let read = |name: &str| {
            (file.tensor(name).unwrap().shape().to_vec(), values(&file, name, f32::from_le_bytes))
        };
        Self(file.names().into_iter().map(|name| (name.to_owned(), read(name))).collect())
    }

    fn compare_if_there<const D: usize>(&mut self, name: &str, found: Tensor<D>) {
        if self.0.contains_key(name) {
            self.compare(name, found);
        }
    }

    /// Compares a tensor whose last axis is that of the reference, and whose other axes it flattens.
    fn compare<const D: usize>(&mut self, name: &str, found: Tensor<D>) {
        let (shape, expected) = self.0.remove(name).unwrap_or_else(|| panic!("no reference of {name}"));
        let width = found.dims()[D - 1];
        assert_eq!(shape.last(), Some(&width), "{name}");
        let found = found.try_into_vec_as::<f32>().unwrap();
        let stride = if found.len() == expected.len() { 1 } else { STEPS_APART };
        let found: Vec<f32> = found.chunks(width.max(1)).step_by(stride).flatten().copied().collect();
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(&expected) {
            let difference = (found - expected).abs() / expected.abs().max(1.0);
            assert!(difference <= TOLERANCE, "{name}: found {found}, expected {expected}");
        }
    }
}

fn folder(set: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/golden").join(set)
}

/// The first window of a set, cut to its own lengths.
fn first_window(set: &str) -> TensorBatch {
    let bytes = std::fs::read(folder(set).join("inputs.safetensors")).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let length = |name: &str| values(&file, name, i64::from_le_bytes)[0] as usize;
    let (encoder, decoder) = (length("encoder_lengths"), length("decoder_lengths"));
    let reals =
        |name: &str, steps: usize| window(&file, name, steps, values(&file, name, f32::from_le_bytes));
    let codes = |name: &str, steps: usize| {
        window(&file, name, steps, values(&file, name, i64::from_le_bytes)).mapv(|code| code as u32)
    };
    TensorBatch {
        encoder_reals: reals("encoder_cont", encoder),
        encoder_categoricals: codes("encoder_cat", encoder),
        decoder_reals: reals("decoder_cont", decoder),
        decoder_categoricals: codes("decoder_cat", decoder),
        encoder_lengths: vec![encoder],
        decoder_lengths: vec![decoder],
    }
}

fn window<T: Clone>(file: &SafeTensors<'_>, name: &str, steps: usize, values: Vec<T>) -> Array3<T> {
    let shape: [usize; 3] = file.tensor(name).unwrap().shape().try_into().unwrap();
    let mut all = Array3::from_shape_vec(shape, values).unwrap();
    all.slice_axis_inplace(Axis(0), (0..1).into());
    all.slice_axis_inplace(Axis(1), (0..steps).into());
    all
}

fn values<T, const N: usize>(file: &SafeTensors<'_>, name: &str, from: impl Fn([u8; N]) -> T) -> Vec<T> {
    file.tensor(name).unwrap().data().as_chunks().0.iter().map(|&bytes| from(bytes)).collect()
}
