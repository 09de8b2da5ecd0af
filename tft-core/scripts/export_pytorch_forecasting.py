#!/usr/bin/env python3
"""Exports a TemporalFusionTransformer of pytorch-forecasting 1.0 to 1.8 as a model directory.

Owns what is written beside the weights: `model.json`, `model.safetensors`, `expected.json` (example inputs with
the outputs that the library computes for them) and `CARD.md`. What the library's objects look like in JSON is
the business of `pytorch_forecasting_document.py`.

From a checkpoint and the data set of its training (`dataset.save()`, `torch.save` or pickle), or from the folder
of the monitoring system that keeps weights and data-set parameters apart:

    python3 export_pytorch_forecasting.py --checkpoint model.ckpt --dataset dataset.pt --rows rows.parquet --out DIR
    python3 export_pytorch_forecasting.py --system-folder FOLDER --out DIR

Checkpoints, data sets and pickles can run code when they are read: export only files that you trust.

In Python:

    from export_pytorch_forecasting import export
    export(model, training_dataset, "DIR", rows=rows)
"""

import argparse
import copy
import hashlib
import json
import math
import platform
import re
import sys
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pytorch_forecasting import TemporalFusionTransformer, TimeSeriesDataSet
from pytorch_forecasting.metrics import MAE, MAPE, MASE, RMSE, SMAPE, DistributionLoss, QuantileLoss
from safetensors.torch import save

from pytorch_forecasting_document import (
    ExportError,
    architecture_document,
    as_list,
    dataset_document,
    dataset_problems,
    forward,
    losses,
    output_sizes,
    parameter,
    plain,
    raw_columns,
    state_tensors,
    target_names,
)
from pytorch_forecasting_load import (
    DIFFERENCES_MAX,
    load_checkpoint,
    load_dataset,
    load_system_folder,
    read_json,
)

FORMAT_VERSION = 1
STEP_MS_DEFAULT = 300_000
STEP_MS_MIN = 1_000
DAY_MS = 86_400_000
ID_LENGTH_MAX = 100
EXAMPLE_WINDOWS = 2
SIGNIFICANT_DIGITS = 9
# Attention weights grow with the square of the window; above this many numbers they stay out of expected.json.
ATTENTION_NUMBERS_MAX = 100_000
POINT_LOSSES = (MAE, RMSE, SMAPE, MAPE, MASE)
INPUT_TENSORS = ("encoder_cont", "encoder_cat", "decoder_cont", "decoder_cat", "encoder_lengths", "decoder_lengths")
ARCHITECTURE_LEFT_OUT = ("dropout", "n_targets", "output_size", "embedding_paddings")


def export(model, dataset, directory, *, id=None, step_ms=STEP_MS_DEFAULT, rows=None, sources=None, remarks=None):
    """Writes a model directory; `rows`, a raw data frame, gives the example windows and is not changed.

    `dataset` is the data set of the training: its encoders and scalers are what is exported. `sources` says where
    columns come from when servers are forecast, as in `{"cores": {"metric": "cpu_count"}}`; most are known by
    their names. Raises ExportError before anything is written.
    """
    directory = Path(directory)
    id = id or re.sub(r"[^!-~]+", "-", directory.resolve().name)[:ID_LENGTH_MAX]
    problems = identity_problems(id, step_ms) + model_problems(model, dataset)
    if problems:
        raise ExportError(problems)
    warn_of_empty_encoders(dataset)
    warn_of_reordered_groups(dataset)
    with evaluated_on_cpu(model):
        expected = expected_document(model, dataset, rows)
        weights = save(state_tensors(model))
    identity = {"id": id, "step_ms": int(step_ms), "weights_sha256": hashlib.sha256(weights).hexdigest()}
    document = model_document(model, dataset, identity, remarks or {})
    if sources:
        document["encoding"]["sources"] = sources
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "model.safetensors").write_bytes(weights)
    write_json(document, directory / "model.json", indent=1)
    write_json(expected, directory / "expected.json")
    (directory / "CARD.md").write_text(card(document, expected))
    return directory


def identity_problems(id, step_ms):
    problems = []
    if not re.fullmatch(rf"[!-~]{{1,{ID_LENGTH_MAX}}}", id):
        problems.append(f"id `{id}` must be 1 to {ID_LENGTH_MAX} printable ASCII characters without spaces")
    if not (STEP_MS_MIN <= step_ms <= DAY_MS and DAY_MS % step_ms == 0):
        problems.append(f"step_ms {step_ms} must divide a day into whole steps of at least {STEP_MS_MIN} ms")
    return problems


def model_problems(model, dataset):
    """Everything about a network and its data set that can not be exported."""
    if not isinstance(model, TemporalFusionTransformer):
        return [f"the model is a {type(model).__name__}, only TemporalFusionTransformer can be exported"]
    if not isinstance(dataset, TimeSeriesDataSet):
        return [f"the data set is a {type(dataset).__name__}, not a TimeSeriesDataSet"]
    problems = loss_problems(model, dataset) + dataset_problems(dataset)
    return problems or fit_problems(model, dataset) + weight_problems(model)


def loss_problems(model, dataset):
    names, found = target_names(dataset), losses(model)
    if len(names) != len(found):
        return [f"the loss has {len(found)} parts for the {len(names)} targets {names}"]
    sizes = output_sizes(model, len(names))
    problems = [loss_problem(name, loss, size) for name, loss, size in zip(names, found, sizes)]
    return [problem for problem in problems if problem]


def loss_problem(target, loss, size):
    kind = type(loss).__name__
    if isinstance(loss, QuantileLoss):
        count = len(loss.quantiles)
        return None if count == size else f"target `{target}`: {count} quantiles for {size} outputs"
    if isinstance(loss, DistributionLoss):
        return f"target `{target}`: its loss {kind} is a distribution, only quantile and point losses can be exported"
    if type(loss) not in POINT_LOSSES:
        return f"target `{target}`: its loss {kind} is neither QuantileLoss nor MAE, RMSE, SMAPE, MAPE or MASE"
    return None if size == 1 else f"target `{target}`: its point loss {kind} has {size} outputs, expected 1"


def fit_problems(model, dataset):
    """Where a network and a data set do not belong together."""
    hparams, problems = model.hparams, []
    columns = {"x_reals": list(dataset.reals), "x_categoricals": list(dataset.flat_categoricals)}
    for name, expected in columns.items():
        if list(hparams[name]) != expected:
            problems.append(f"the network's {name} {list(hparams[name])} are not those of the data set, {expected}")
    if dataset.max_encoder_length > hparams.max_encoder_length:
        lengths = (dataset.max_encoder_length, hparams.max_encoder_length)
        problems.append("the data set's max_encoder_length {} exceeds the network's {}".format(*lengths))
    return problems + transformer_problems(model, dataset)


def transformer_problems(model, dataset):
    transformer = model.output_transformer
    parts = as_list(getattr(transformer, "normalizers", transformer))
    reverses = [getattr(part, "transformation", None) for part in parts]
    expected = [part.transformation for part in dataset.target_normalizers]
    if reverses == expected:
        return []
    return [f"the network's output_transformer reverses {reverses}, the data set's normaliser applies {expected}"]


def weight_problems(model):
    weights = model.state_dict()
    wide = Counter(str(tensor.dtype) for tensor in weights.values() if tensor.dtype != torch.float32)
    problems = [f"{number} weights are {dtype}, expected torch.float32" for dtype, number in wide.items()]
    broken = [name for name, tensor in weights.items() if not torch.isfinite(tensor).all()]
    return problems + [f"weight `{name}` holds values that are not finite" for name in broken[:DIFFERENCES_MAX]]


def warn_of_empty_encoders(dataset):
    if dataset.min_encoder_length == 0:
        warnings.warn("min_encoder_length is 0: windows without any encoder step will be refused when forecasting")


def warn_of_reordered_groups(dataset):
    """Old pandas (seen in 2.1) sorts the joins by which the library finds scales, and rows get others' scales."""
    scalers = [*parameter(dataset, "scalers").values(), *dataset.target_normalizers]
    tables = [part for part in scalers if getattr(part, "groups", None) and not part.scale_by_group]
    if tables and not joins_keep_order():
        warnings.warn(
            f"pandas {pd.__version__} sorts joins: where rows are not in the order of their groups' codes, as with"
            " unknown groups, the library scales inputs with the constants of other groups; expected.json may show"
            " that, forecasts with the exported model do not"
        )


def joins_keep_order():
    rows = pd.DataFrame(index=pd.Index([1, 1, 0], name="code"))
    table = pd.DataFrame({"constant": [7.0]}, index=pd.Index([1], name="code"))
    return rows.join(table)["constant"].iloc[0] == 7.0


@contextmanager
def evaluated_on_cpu(model):
    """The model in inference mode on the CPU for a while."""
    was_training, device = model.training, model.device
    model.to("cpu").eval()
    try:
        yield
    finally:
        model.to(device).train(was_training)


def model_document(model, dataset, identity, remarks):
    architecture = architecture_document(model)
    return {
        "format_version": FORMAT_VERSION,
        **identity,
        "architecture": {k: v for k, v in architecture.items() if k not in ARCHITECTURE_LEFT_OUT},
        "encoding": {
            "kind": "pytorch_forecasting",
            "target_scale_lookup": "group_code",
            **dataset_document(dataset),
        },
        "training": {**training_remarks(model, dataset), **remarks},
    }


def training_remarks(model, dataset):
    """What people may want to know of a model's origin."""
    remarks = {
        "exported_with": library_versions(),
        "losses": [type(loss).__name__ for loss in losses(model)],
        "parameters": sum(weight.numel() for weight in model.parameters()),
        "dropout": float(model.hparams.dropout),
    }
    names = zip(target_names(dataset), losses(model))
    points = [name for name, loss in names if not isinstance(loss, QuantileLoss)]
    if points:
        note = "trained with a point loss, exported as the quantile 0.5"
        remarks["point_targets"] = {"targets": points, "note": note}
    if not math.isfinite(float(model.hparams.get("mask_bias", -1e9))):
        remarks["mask_bias"] = "was infinite"
    return remarks


def library_versions():
    import pytorch_forecasting
    import sklearn

    modules = {"pytorch_forecasting": pytorch_forecasting, "torch": torch, "sklearn": sklearn, "pandas": pd}
    versions = {name: str(module.__version__) for name, module in modules.items()}
    return {"python": platform.python_version(), **versions}


def expected_document(model, dataset, rows):
    """Example windows with their inputs and outputs, from raw rows if there are any."""
    if rows is None:
        return example_of(model, fixed_lengths(dataset))[0]
    trimmed = trimmed_rows(dataset, rows)
    windows = predicted(dataset, trimmed)
    document, x = example_of(model, windows)
    index = windows.x_to_index(x)
    document["rows"] = {name: numbers(plain(trimmed[name].to_numpy())) for name in trimmed.columns}
    document["row_dtypes"] = {name: row_dtype(trimmed[name]) for name in trimmed.columns}
    document["row_predictions"] = document["outputs"]["prediction"]
    document["groups"] = index[list(dataset.group_ids)].astype(str).to_numpy().tolist()
    document["first_prediction_idx"] = plain(x["decoder_time_idx"][:, 0])
    return document


def fixed_lengths(dataset):
    """The data set without its random shortening of windows."""
    fixed = copy.copy(dataset)
    fixed.randomize_length = None
    return fixed


def predicted(dataset, rows):
    """The data set that forecasts the last steps of every group."""
    return TimeSeriesDataSet.from_dataset(dataset, rows.copy(), predict=True, stop_randomization=True)


def trimmed_rows(dataset, rows):
    """The rows that the first and the last window need, with as many digits as the document keeps."""
    missing = [name for name in raw_columns(dataset) if name not in rows.columns]
    if missing:
        raise ExportError([f"the rows have no column `{name}`" for name in missing])
    rows = rows[raw_columns(dataset)]
    starts = window_starts(dataset, predicted(dataset, rows))
    chosen = [starts[0]] if len(starts) == 1 else [starts[0], starts[-1]]
    parts = [window_rows(dataset, rows, group, first) for group, first in chosen]
    trimmed = pd.concat(parts, ignore_index=True)
    for name in trimmed.columns:
        if trimmed[name].dtype.kind == "f":
            trimmed[name] = np.array([rounded(float(v)) for v in trimmed[name]]).astype(trimmed[name].dtype)
    return trimmed


def window_starts(dataset, windows):
    """Group and first time index of every window."""
    index = windows.decoded_index
    groups = [tuple(row) for row in index[list(dataset.group_ids)].itertuples(index=False)]
    return list(zip(groups, index["time_idx_first"]))


def window_rows(dataset, rows, group, first):
    """A group's rows from its window's first step on, and as many before it as the lags consume."""
    for name, value in zip(dataset.group_ids, group):
        rows = rows[rows[name] == value]
    rows = rows.sort_values(dataset.time_idx)
    before = int((rows[dataset.time_idx] < first).sum())
    return rows.iloc[max(0, before - int(dataset.max_lag)) :]


def row_dtype(column):
    return str(column.dtype) if column.dtype.kind in "fiub" else "string"


def example_of(model, dataset):
    """The document of a data set's first windows, and the batch it was made from."""
    x, _ = next(iter(dataset.to_dataloader(train=False, batch_size=EXAMPLE_WINDOWS, num_workers=0)))
    raw, network_output = forward(model, x)
    outputs = {"prediction": as_list(raw["prediction"]), "network_output": network_output, **weights_of(raw)}
    document = {
        "format_version": FORMAT_VERSION,
        "inputs": {**{name: x[name] for name in INPUT_TENSORS}, "target_scale": as_list(x["target_scale"])},
        "outputs": outputs,
    }
    document = numbers(document)
    refuse_unusable_outputs(outputs["prediction"])
    return document, x


def weights_of(raw):
    """Selection and attention weights; attention, `[window][step][head][key]`, only while it is small."""
    weights = {name: raw[name].squeeze(-2) for name in ("encoder_variables", "decoder_variables")}
    static = raw["static_variables"]
    weights["static_variables"] = static.squeeze(1) if static.ndim == 3 else static
    attention = {name: raw[name] for name in ("encoder_attention", "decoder_attention")}
    is_small = sum(tensor.numel() for tensor in attention.values()) <= ATTENTION_NUMBERS_MAX
    return {**weights, **attention} if is_small else weights


def refuse_unusable_outputs(predictions):
    if not all(bool(torch.isfinite(tensor).all()) for tensor in predictions):
        raise ExportError(["the network's predictions for the example windows are not finite"])


def rounded(value):
    return float(f"{value:.{SIGNIFICANT_DIGITS}g}")


def numbers(value):
    """A document with tensors as nested lists of numbers that are no longer than they need to be."""
    if isinstance(value, dict):
        return {name: numbers(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [numbers(item) for item in value]
    if isinstance(value, torch.Tensor):
        return numbers(value.tolist())
    return rounded(value) if isinstance(value, float) else value


def write_json(document, path, indent=None):
    separators = None if indent else (",", ":")
    text = json.dumps(document, indent=indent, separators=separators, allow_nan=False)
    path.write_text(text + "\n")


def card(document, expected):
    """The text that tells people what a model directory holds."""
    architecture, encoding = document["architecture"], document["encoding"]
    quantiles = zip(encoding["targets"], architecture["quantiles"])
    lines = [
        f"# {document['id']}",
        "",
        "A Temporal Fusion Transformer of pytorch-forecasting, exported by `export_pytorch_forecasting.py`.",
        "",
        "| | |",
        "|---|---|",
        *[f"| {name} | {value} |" for name, value in card_facts(document)],
        "",
        "| target | quantiles |",
        "|---|---|",
        *[f"| {target} | {', '.join(map(str, levels))} |" for target, levels in quantiles],
        "",
        *card_scale_lookup(),
        *card_examples(expected),
    ]
    return "\n".join(lines) + "\n"


def card_facts(document):
    architecture, encoding, training = document["architecture"], document["encoding"], document["training"]
    counts = [len(architecture["static_categoricals"]) + len(architecture["static_reals"])]
    for side in ("encoder", "decoder"):
        counts.append(sum(len(architecture[f"time_varying_{kind}_{side}"]) for kind in ("categoricals", "reals")))
    versions = training["exported_with"]
    return [
        ("hidden size", architecture["hidden_size"]),
        ("attention heads", architecture["attention_head_size"]),
        ("LSTM layers", architecture["lstm_layers"]),
        ("parameters", training["parameters"]),
        ("encoder steps", "{min_encoder_length} to {max_encoder_length}".format(**encoding)),
        ("decoder steps", encoding["max_prediction_length"]),
        ("step", f"{document['step_ms']} ms"),
        ("variables (static, encoder, decoder)", ", ".join(map(str, counts))),
        ("loss", ", ".join(dict.fromkeys(training["losses"]))),
        ("exported with", ", ".join(f"{name} {version}" for name, version in versions.items())),
    ]


def card_scale_lookup():
    return [
        "## Scaling back",
        "",
        "The library scales inputs with the constants of a series' group as its visible encoder numbers it, and",
        "scales outputs back with those found under the number of its internal group encoder, which has no class",
        "for unknown groups. Where the two differ, a series is scaled back with the constants of another group.",
        'The network was trained with that, so it is kept: `"target_scale_lookup": "group_code"` in `model.json`,',
        "under `encoding`.",
        "",
    ]


def card_examples(expected):
    windows = len(expected["inputs"]["encoder_lengths"])
    source = "from raw rows, which it holds" if "rows" in expected else "of encoded inputs"
    return [
        "## Example",
        "",
        f"`expected.json` holds {windows} example window(s) {source}, and what the library computes for them in",
        "single precision.",
    ]


def arguments_of(command_line):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="Lightning checkpoint of a TemporalFusionTransformer")
    parser.add_argument("--dataset", type=Path, help="TimeSeriesDataSet of the training, or its get_parameters()")
    parser.add_argument("--rows", type=Path, help="Parquet file of raw rows for the example windows")
    folder = "folder with model.safetensors, dataset_parameters.pkl, config.json and perhaps server_mapping.json"
    parser.add_argument("--system-folder", type=Path, help=folder)
    parser.add_argument("--out", type=Path, required=True, help="model directory to write")
    sources = "JSON file that says where columns come from when servers are forecast, by column"
    parser.add_argument("--sources", type=Path, help=sources)
    parser.add_argument("--id", help="name of the model in replies and logs (default: the directory's name)")
    step_ms = "length of a step in ms (default: %(default)s)"
    parser.add_argument("--step-ms", type=int, default=STEP_MS_DEFAULT, help=step_ms)
    arguments = parser.parse_args(command_line)
    is_checkpoint = bool(arguments.checkpoint and arguments.dataset)
    if is_checkpoint == bool(arguments.system_folder):
        parser.error("give either --checkpoint and --dataset, or --system-folder")
    return arguments


def main(command_line=None):
    arguments = arguments_of(command_line)
    torch.set_num_threads(1)
    remarks = {}
    try:
        if arguments.system_folder:
            model, dataset, remarks = load_system_folder(arguments.system_folder)
        else:
            model, dataset = load_checkpoint(arguments.checkpoint), load_dataset(arguments.dataset)
        rows = pd.read_parquet(arguments.rows) if arguments.rows else None
        sources = read_json(arguments.sources) if arguments.sources else None
        identity = {"id": arguments.id, "step_ms": arguments.step_ms}
        export(model, dataset, arguments.out, rows=rows, sources=sources, remarks=remarks, **identity)
    except (ExportError, FileNotFoundError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
