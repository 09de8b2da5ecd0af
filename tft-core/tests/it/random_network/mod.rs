//! Random architectures with random weights, as models and as plain tensors.

mod numbers;
mod state_dict;

use std::collections::BTreeMap;

use ndarray::Array3;
use proptest::collection::vec;
use proptest::prelude::*;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use tft_core::Model;
use tft_core::model::{Architecture, TensorBatch};

use self::numbers::Numbers;
use self::state_dict::StateDict;
use crate::plain_network::{StateTensor, StateTensors};

/// A network and a batch for it.
#[derive(Debug)]
pub(crate) struct RandomNetwork {
    pub(crate) architecture: Architecture,
    pub(crate) tensors: StateTensors,
    pub(crate) batch: TensorBatch,
    /// Other names under which tensors may be stored.
    aliases: Vec<(String, String)>,
    seed: u64,
}

/// One variable: which networks use it and what it is.
#[derive(Debug, Clone)]
struct Variable {
    is_used: [bool; 3],
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Real { width: Option<usize> },
    Categorical { classes: usize, width: usize },
    Group { columns: usize, classes: usize, width: usize },
}

/// Sizes that no variable changes.
#[derive(Debug, Clone)]
struct Sizes {
    hidden: usize,
    continuous: usize,
    layers: usize,
    heads: usize,
    quantiles: Vec<usize>,
    flags: [bool; 2],
    mask_bias: f32,
    epsilon: f64,
}

pub(crate) fn networks() -> impl Strategy<Value = RandomNetwork> {
    (sizes(), vec(variable(), 0..7), vec((1_usize..6, 1_usize..5), 1..4), any::<u64>()).prop_map(
        |(sizes, variables, lengths, seed)| {
            let architecture = architecture(&sizes, &variables, seed);
            let StateDict { tensors, aliases, .. } = StateDict::of(&architecture, seed);
            let batch = batch(&architecture, &lengths, seed);
            RandomNetwork { architecture, tensors, batch, aliases, seed }
        },
    )
}

fn sizes() -> impl Strategy<Value = Sizes> {
    let widths = (1_usize..10, 1_usize..10, 1_usize..4, 1_usize..4);
    let scores = prop_oneof![Just(-1e9_f32), Just(-1e4), Just(-2.0)];
    let epsilons = prop_oneof![Just(1e-5), Just(1e-3), Just(0.1)];
    (widths, vec(1_usize..4, 1..4), any::<[bool; 2]>(), scores, epsilons).prop_map(
        |((hidden, continuous, layers, heads), quantiles, flags, mask_bias, epsilon)| Sizes {
            hidden,
            continuous,
            layers,
            heads: heads.min(hidden),
            quantiles,
            flags,
            mask_bias,
            epsilon,
        },
    )
}

fn variable() -> impl Strategy<Value = Variable> {
    let kind = prop_oneof![
        proptest::option::of(1_usize..12).prop_map(|width| Kind::Real { width }),
        (1_usize..20, 1_usize..12).prop_map(|(classes, width)| Kind::Categorical { classes, width }),
        (1_usize..4, 1_usize..6, 1_usize..12).prop_map(|(columns, classes, width)| Kind::Group {
            columns,
            classes,
            width
        }),
    ];
    (any::<[bool; 3]>(), kind).prop_map(|(is_used, kind)| Variable { is_used, kind })
}

fn architecture(sizes: &Sizes, variables: &[Variable], seed: u64) -> Architecture {
    let mut document = json!({
        "hidden_size": sizes.hidden, "lstm_layers": sizes.layers, "attention_head_size": sizes.heads,
        "quantiles": sizes.quantiles.iter().map(|&count| quantiles(count)).collect::<Vec<_>>(),
        "hidden_continuous_size": sizes.continuous, "hidden_continuous_sizes": {},
        "max_encoder_length": 9, "mask_bias": sizes.mask_bias, "layer_norm_eps": sizes.epsilon,
        "causal_attention": sizes.flags[0], "share_single_variable_networks": sizes.flags[1],
        "static_categoricals": [], "static_reals": [],
        "time_varying_categoricals_encoder": [], "time_varying_categoricals_decoder": [],
        "time_varying_reals_encoder": [], "time_varying_reals_decoder": [],
        "x_reals": [], "x_categoricals": [], "categorical_groups": {}, "embedding_sizes": {},
    });
    for (index, variable) in variables.iter().enumerate() {
        add_variable(&mut document, index, variable);
    }
    let mut architecture: Architecture = serde_json::from_value(document).unwrap();
    shuffle(&mut architecture, seed);
    architecture
}

/// Distinct levels in descending order.
fn quantiles(count: usize) -> Vec<f64> {
    (1..=count).rev().map(|level| level as f64 / (count + 1) as f64).collect()
}

fn add_variable(document: &mut Value, index: usize, variable: &Variable) {
    let (name, kind) = match &variable.kind {
        Kind::Real { width } => {
            let name = format!("r{index}");
            if let Some(width) = width {
                document["hidden_continuous_sizes"][&name] = json!(width);
            }
            push(document, "x_reals", &name);
            (name, "reals")
        }
        Kind::Categorical { classes, width } => {
            let name = format!("c{index}");
            document["embedding_sizes"][&name] = json!([classes, width]);
            push(document, "x_categoricals", &name);
            (name, "categoricals")
        }
        Kind::Group { columns, classes, width } => {
            let name = format!("g{index}");
            let columns: Vec<String> = (0..*columns).map(|column| format!("g{index}_{column}")).collect();
            for column in &columns {
                push(document, "x_categoricals", column);
            }
            document["embedding_sizes"][&name] = json!([classes, width]);
            document["categorical_groups"][&name] = json!(columns);
            (name, "categoricals")
        }
    };
    let lists = [
        format!("static_{kind}"),
        format!("time_varying_{kind}_encoder"),
        format!("time_varying_{kind}_decoder"),
    ];
    for (list, _) in lists.iter().zip(variable.is_used).filter(|(_, is_used)| *is_used) {
        push(document, list, &name);
    }
}

fn push(document: &mut Value, list: &str, name: &str) {
    document[list].as_array_mut().unwrap().push(name.into());
}

/// No list follows from another one's order.
fn shuffle(architecture: &mut Architecture, seed: u64) {
    let lists = [
        &mut architecture.x_reals,
        &mut architecture.x_categoricals,
        &mut architecture.static_reals,
        &mut architecture.static_categoricals,
        &mut architecture.time_varying_reals_encoder,
        &mut architecture.time_varying_reals_decoder,
        &mut architecture.time_varying_categoricals_encoder,
        &mut architecture.time_varying_categoricals_decoder,
    ];
    let mut numbers = Numbers(seed ^ 1);
    for list in lists {
        for last in (1..list.len()).rev() {
            list.swap(last, numbers.below(last + 1));
        }
    }
}

fn batch(architecture: &Architecture, lengths: &[(usize, usize)], seed: u64) -> TensorBatch {
    let (encoder_lengths, decoder_lengths): (Vec<usize>, Vec<usize>) = lengths.iter().copied().unzip();
    let mut numbers = Numbers(seed ^ 2);
    let longest = |lengths: &[usize]| lengths.iter().copied().max().unwrap();
    let mut reals = |steps: usize| {
        let shape = (lengths.len(), steps, architecture.x_reals.len());
        Array3::from_shape_simple_fn(shape, || (2.0 * numbers.symmetric()) as f32)
    };
    let (encoder_reals, decoder_reals) = (reals(longest(&encoder_lengths)), reals(longest(&decoder_lengths)));
    let classes: Vec<usize> =
        architecture.x_categoricals.iter().map(|column| classes(architecture, column)).collect();
    let mut codes = |steps: usize| {
        let shape = (lengths.len(), steps, classes.len());
        Array3::from_shape_fn(shape, |(_, _, column)| numbers.below(classes[column]) as u32)
    };
    TensorBatch {
        encoder_categoricals: codes(longest(&encoder_lengths)),
        decoder_categoricals: codes(longest(&decoder_lengths)),
        encoder_reals,
        decoder_reals,
        encoder_lengths,
        decoder_lengths,
    }
}

fn classes(architecture: &Architecture, column: &str) -> usize {
    let mut groups = architecture.categorical_groups.iter();
    let group = groups.find(|(_, columns)| columns.iter().any(|other| other == column));
    architecture.embedding_sizes[group.map_or(column, |(group, _)| group)].0
}

impl RandomNetwork {
    pub(crate) fn model(&self) -> Model {
        let document = serde_json::to_vec(&document(&self.architecture)).unwrap();
        Model::from_bytes(&document, &self.weights(), "random").unwrap()
    }

    /// The weight file; a tensor of several names has any of them, or all.
    fn weights(&self) -> Vec<u8> {
        let mut numbers = Numbers(self.seed ^ 3);
        let mut file: BTreeMap<String, &StateTensor> =
            self.tensors.0.iter().map(|(n, t)| (n.clone(), t)).collect();
        for (alias, name) in &self.aliases {
            let Some(tensor) = file.get(name).copied() else { continue };
            if numbers.below(2) == 0 {
                file.remove(name);
            }
            file.insert(alias.clone(), tensor);
        }
        let bytes: BTreeMap<&String, Vec<u8>> =
            file.iter().map(|(name, tensor)| (name, tensor.bytes())).collect();
        let views = file.iter().map(|(name, tensor)| {
            (name, TensorView::new(Dtype::F32, tensor.shape.clone(), &bytes[name]).unwrap())
        });
        safetensors::serialize(views, None).unwrap()
    }
}

/// The description of a model whose data set has the columns of its network and nothing else.
fn document(architecture: &Architecture) -> Value {
    json!({
        "format_version": 1, "id": "random", "step_ms": 300_000, "architecture": architecture,
        "encoding": encoding(architecture),
    })
}

fn encoding(of: &Architecture) -> Value {
    let targets: Vec<String> = (0..of.targets()).map(|target| format!("t{target}")).collect();
    let normalizer = json!({
        "type": "GroupNormalizer", "method": "standard", "center": true, "transformation": null,
        "method_kwargs": {}, "groups": [], "scale_by_group": false, "norm": {"center": 0.0, "scale": 1.0},
    });
    let encoder = json!({"type": "NaNLabelEncoder", "add_nan": false, "classes": [["a", 0]]});
    let columns = of.x_categoricals.iter().chain(of.categorical_groups.keys()).map(String::as_str);
    let encoders: BTreeMap<&str, &Value> =
        columns.chain(["g", "__group_id__g"]).map(|name| (name, &encoder)).collect();
    let normalizers = vec![&normalizer; targets.len()];
    json!({
        "kind": "pytorch_forecasting", "time_idx": "time_idx", "targets": targets, "group_ids": ["g"],
        "multi_target": targets.len() > 1, "max_encoder_length": 9, "min_encoder_length": 1,
        "max_prediction_length": 5, "min_prediction_length": 1, "allow_missing_timesteps": false,
        "add_relative_time_idx": false, "add_target_scales": false, "add_encoder_length": false,
        "variable_groups": of.categorical_groups, "constant_fill_strategy": {}, "lags": {},
        "reals": of.x_reals, "flat_categoricals": of.x_categoricals, "scalers": {},
        "target_normalizer": {"type": "MultiNormalizer", "normalizers": normalizers},
        "categorical_encoders": encoders,
    })
}

impl StateTensor {
    fn bytes(&self) -> Vec<u8> {
        self.values.iter().flat_map(|&value| (value as f32).to_le_bytes()).collect()
    }
}
