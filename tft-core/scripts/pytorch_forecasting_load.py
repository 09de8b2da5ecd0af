"""Reads trained TemporalFusionTransformers of pytorch-forecasting from where they were saved.

Owns checkpoints, saved data sets, and the folder of the monitoring system that keeps weights and data-set
parameters apart, where the network's sizes are read from the shapes of its weights. Reading a checkpoint or a
pickle can run the code in it. What is exported from a model is the business of `export_pytorch_forecasting.py`.
"""

import json
import os
import pickle
import re
from collections import Counter
from pathlib import Path

import torch
from pytorch_forecasting import TemporalFusionTransformer
from pytorch_forecasting.metrics import MultiLoss, QuantileLoss
from safetensors.torch import load_file

from pytorch_forecasting_document import ExportError, dataset_of_parameters

DIFFERENCES_MAX = 10
QUANTILES_DEFAULT = [0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98]


def load_trusted(path):
    """What `torch.save` or pickle wrote."""
    try:
        return torch.load(path, map_location="cpu", weights_only=False)
    except (pickle.UnpicklingError, RuntimeError, EOFError):
        with open(path, "rb") as file:
            return pickle.load(file)


def load_checkpoint(path):
    """The model of a Lightning checkpoint; its classes and data-set parameters are pickled in it."""
    os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"] = "1"
    try:
        return TemporalFusionTransformer.load_from_checkpoint(path, map_location="cpu")
    finally:
        del os.environ["TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"]


def load_dataset(path):
    """A data set, or one that stands in for it where only its parameters were saved."""
    saved = load_trusted(path)
    return dataset_of_parameters(saved) if isinstance(saved, dict) else saved


def load_system_folder(folder):
    """Model, data set and remarks from a folder that keeps weights and data-set parameters apart."""
    folder = Path(folder)
    config = read_json(folder / "config.json")
    parameters = load_trusted(folder / "dataset_parameters.pkl")
    weights = load_file(folder / "model.safetensors")
    dataset = dataset_of_parameters(parameters)
    model = model_of_weights(weights, dataset, config)
    mapping = folder / "server_mapping.json"
    return model, dataset, {"server_mapping": read_json(mapping)} if mapping.exists() else {}


def read_json(path):
    return json.loads(path.read_text())


def model_of_weights(weights, dataset, config):
    """The network that fits the shapes of its weights."""
    model = TemporalFusionTransformer.from_dataset(dataset, **network_arguments(weights, dataset, config))
    complete = with_aliases(weights, model.state_dict())
    try:
        model.load_state_dict(complete, strict=True)
    except RuntimeError as error:
        differences = [line.strip() for line in str(error).splitlines()[1:]]
        raise ExportError(["the weights do not fit the data set", *differences[:DIFFERENCES_MAX]])
    return model.eval()


def network_arguments(weights, dataset, config):
    """Sizes read from shapes; what shapes do not show comes from `config.json` or is the library's default."""
    sizes = continuous_sizes(weights)
    common = Counter(sizes.values()).most_common(1)[0][0] if sizes else 8
    arguments = {
        "hidden_size": hidden_size(weights, config),
        "attention_head_size": count(weights, r"multihead_attn\.q_layers\.\d+\.weight"),
        "lstm_layers": count(weights, r"lstm_encoder\.weight_ih_l\d+"),
        "hidden_continuous_size": common,
        "hidden_continuous_sizes": {name: size for name, size in sizes.items() if size != common},
        "embedding_sizes": embedding_shapes(weights),
        "share_single_variable_networks": shares_variable_networks(weights),
        "loss": quantile_loss(weights, dataset, config),
    }
    optional = ("mask_bias", "causal_attention", "dropout")
    return {**arguments, **{name: config[name] for name in optional if name in config}}


def continuous_sizes(weights):
    """The width of every real variable, under whichever of its names the file has it."""
    found = ((re.fullmatch(r"(?:.*\.)?prescalers\.([^.]+)\.weight", name), w) for name, w in weights.items())
    return {match[1]: int(w.shape[0]) for match, w in found if match}


def shares_variable_networks(weights):
    """Whether encoder and decoder share their networks.

    The encoder sees every variable of the decoder, so one that only the decoder has is an alias left out.
    """
    patterns = [rf"{side}_variable_selection\.single_variable_grns\.([^.]+)\..*" for side in ("decoder", "encoder")]
    decoder, encoder = ({match[1] for name in weights if (match := re.fullmatch(p, name))} for p in patterns)
    return count(weights, r"shared_single_variable_grns\..*") > 0 or not decoder <= encoder


def hidden_size(weights, config):
    found = weights.get("pos_wise_ff.fc1.weight")
    if found is None:
        raise ExportError(["the weights are not those of a TemporalFusionTransformer: no `pos_wise_ff.fc1.weight`"])
    size = int(found.shape[0])
    if int(config.get("hidden_size", size)) != size:
        raise ExportError([f"hidden_size is {config['hidden_size']} in config.json, {size} in the weights"])
    return size


def count(weights, pattern):
    return sum(re.fullmatch(pattern, name) is not None for name in weights)


def embedding_shapes(weights):
    prefix = "input_embeddings.embeddings."
    found = {name[len(prefix) :]: tuple(map(int, w.shape)) for name, w in weights.items() if name.startswith(prefix)}
    return {name.split(".")[0]: shape for name, shape in found.items()}


def quantile_loss(weights, dataset, config):
    """The loss that has as many quantiles as each output has columns."""
    single = [int(weights["output_layer.weight"].shape[0])] if "output_layer.weight" in weights else []
    layers = count(weights, r"output_layer\.\d+\.weight")
    sizes = single or [int(weights[f"output_layer.{layer}.weight"].shape[0]) for layer in range(layers)]
    levels = config.get("quantiles", QUANTILES_DEFAULT)
    nested = levels if levels and isinstance(levels[0], list) else [levels] * len(sizes)
    if [len(level) for level in nested] != sizes:
        raise ExportError([f"the outputs have {sizes} columns, name their quantiles as `quantiles` in config.json"])
    parts = [QuantileLoss(level) for level in nested]
    return MultiLoss(parts) if dataset.multi_target else parts[0]


def with_aliases(weights, state):
    """The weights with every name of a tensor that the network uses under several."""
    named = {state[name].data_ptr(): tensor for name, tensor in weights.items() if name in state}
    aliases = {name: named[tensor.data_ptr()] for name, tensor in state.items() if tensor.data_ptr() in named}
    return {**aliases, **weights}
