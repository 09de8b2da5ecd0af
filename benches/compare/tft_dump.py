"""Reads a dump of a network of pytorch-forecasting, and makes batches of windows from its inputs.

Owns the way from `hparams.json` and `model.safetensors` to a `TemporalFusionTransformer`, and from
`inputs.safetensors` to as many windows as a measurement wants. A dump is a folder as `generate_reference.py`
in `tft-core/scripts` writes it. Nothing here measures.
"""

import json
import shutil
from pathlib import Path

import torch
from pytorch_forecasting import TemporalFusionTransformer
from pytorch_forecasting.metrics import MultiLoss, QuantileLoss
from safetensors.torch import load_file, save_file

SEED = 20240501
REAL_NOISE = 0.02
# What hparams.json holds beside the arguments of the network's constructor.
NOT_ARGUMENTS = ("format", "n_targets", "output_size", "quantiles", "layer_norm_eps")
INPUTS = ("encoder_cont", "encoder_cat", "decoder_cont", "decoder_cat", "encoder_lengths", "decoder_lengths")


def ensure_dump(folder, work):
    """The folder itself if it is a dump, otherwise one made from a golden fixture of the library's tests."""
    folder, work = Path(folder), Path(work)
    if (folder / "hparams.json").exists():
        return folder
    work.mkdir(parents=True, exist_ok=True)
    document = json.loads((folder / "model" / "model.json").read_text())
    architecture = document["architecture"]
    outputs = [len(levels) for levels in architecture["quantiles"]]
    left_out = {"dropout": 0.1, "n_targets": len(outputs), "output_size": outputs, "embedding_paddings": []}
    (work / "hparams.json").write_text(json.dumps({**architecture, **left_out}))
    (work / "dataset_parameters.json").write_text(json.dumps(document["encoding"]))
    shutil.copyfile(folder / "model" / "model.safetensors", work / "model.safetensors")
    shutil.copyfile(folder / "inputs.safetensors", work / "inputs.safetensors")
    return work


def read_hparams(folder):
    return json.loads((Path(folder) / "hparams.json").read_text())


def loss_of(hparams):
    losses = [QuantileLoss(levels) for levels in hparams["quantiles"]]
    return MultiLoss(losses) if len(losses) > 1 else losses[0]


def build_network(hparams):
    """A network of the shape that `hparams.json` describes, with the library's initial weights.

    Its outputs are not scaled back: what it calls the prediction is the output of the last layer.
    """
    arguments = {name: value for name, value in hparams.items() if name not in NOT_ARGUMENTS}
    sizes = hparams["output_size"]
    model = TemporalFusionTransformer(
        loss=loss_of(hparams), output_size=sizes if len(sizes) > 1 else sizes[0], logging_metrics=None, **arguments
    )
    model.transform_output = lambda prediction, target_scale=None: prediction
    return model.eval()


def load_network(folder):
    """The network with the weights of a dump."""
    model = build_network(read_hparams(folder))
    model.load_state_dict(load_file(Path(folder) / "model.safetensors"), strict=True)
    return model.requires_grad_(False)


def read_inputs(folder):
    return load_file(Path(folder) / "inputs.safetensors")


def window_axis(name):
    """Where a tensor of the inputs counts windows; what is stacked over targets has them second."""
    return 1 if name in ("target_scale", "encoder_target", "decoder_target") else 0


def tiled(inputs, windows):
    """The inputs' windows repeated until there are so many."""
    count = len(inputs["encoder_lengths"])
    chosen = torch.arange(windows) % count
    return {name: tensor.index_select(window_axis(name), chosen) for name, tensor in inputs.items()}


def make_batch(inputs, hparams, windows, seed=SEED):
    """Windows that differ: repeated ones have noise on the reals that are a server's own.

    Class codes, known reals (the calendar, the relative index), reals that all windows share (statistics of the
    fleet) and the padding stay as they are.
    """
    batch = {name: tensor.clone() for name, tensor in tiled(inputs, windows).items()}
    generator = torch.Generator().manual_seed(seed)
    kept = {"encoder_length", *hparams["time_varying_reals_decoder"], *shared_reals(inputs, hparams)}
    first_repeated = len(inputs["encoder_lengths"])
    for window in range(first_repeated, windows):
        length = int(batch["encoder_lengths"][window])
        past, future = batch["encoder_cont"][window, :length], batch["decoder_cont"][window]
        disturb(past, future, hparams, kept, generator)
    return batch


def shared_reals(inputs, hparams):
    """The reals of which all windows of the longest encoder have the same history."""
    lengths = inputs["encoder_lengths"]
    past = inputs["encoder_cont"][lengths == lengths.max()]
    are_same = (past == past[:1]).all(dim=0).all(dim=0)
    moving = set(hparams["time_varying_reals_encoder"])
    is_shared = len(past) > 1
    return [name for name, same in zip(hparams["x_reals"], are_same) if is_shared and same and name in moving]


def disturb(past, future, hparams, kept, generator):
    """Adds noise to one window in place; a static real moves by the same amount at every step."""
    static = set(hparams["static_reals"])
    for column, name in enumerate(hparams["x_reals"]):
        if name in kept:
            continue
        if name in static:
            shift = REAL_NOISE * torch.randn(1, generator=generator)
            past[:, column] += shift
            future[:, column] += shift
        else:
            past[:, column] += REAL_NOISE * torch.randn(len(past), generator=generator)


def network_inputs(batch):
    return {name: batch[name] for name in INPUTS}


def select(batch, rows):
    """Some windows of the network's inputs."""
    return {name: batch[name][rows] for name in INPUTS}


def save_inputs(batch, path):
    save_file({name: tensor.contiguous().clone() for name, tensor in batch.items()}, path)
