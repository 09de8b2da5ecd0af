#!/usr/bin/env python3
"""Makes golden sets: small networks of pytorch-forecasting, raw rows, and what the library makes of both.

Owns the reference sets `d` to `g`, which between them use what the sets `a` to `c` leave out. Weights are
random and every one of them is disturbed; nothing is trained. The same seed gives the same set. A set is a
folder with the files that `golden_fixtures.py` reads, and `interpretation.safetensors` beside them.

Where the targets have different numbers of quantiles, the tensors that are stacked over targets in other
sets (`prediction`, `prediction_f64`, `network_output`) come one per target: `prediction.0`, `prediction.1`, ...

    python3 generate_reference.py OUT [NAME ...]
"""

import argparse
import copy
import json
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pytorch_forecasting import TemporalFusionTransformer, TimeSeriesDataSet
from pytorch_forecasting.data.encoders import (
    EncoderNormalizer,
    GroupNormalizer,
    MultiNormalizer,
    NaNLabelEncoder,
    TorchNormalizer,
)
from pytorch_forecasting.metrics import MultiLoss, QuantileLoss
from pytorch_forecasting.utils import get_embedding_size
from safetensors.torch import save_file
from sklearn.preprocessing import MinMaxScaler, RobustScaler, StandardScaler

from pytorch_forecasting_document import (
    architecture_document,
    as_list,
    dataset_document,
    forward,
    parameter,
    state_tensors,
)

WEIGHT_NOISE = 0.3
SEED = 20240501
REDUCTIONS = ("none", "sum", "mean")
INTERPRETED = ("attention", "static_variables", "encoder_variables", "decoder_variables")


@dataclass
class Reference:
    """What a set is made from."""

    training: pd.DataFrame
    prediction: pd.DataFrame
    dataset: dict
    network: dict
    update: dict


def series(rng, level, steps, spread=0.2):
    """A positive series that wanders around a level."""
    walk = np.cumsum(rng.normal(0.0, 0.05, steps)) + rng.normal(0.0, spread, steps)
    return level * np.exp(walk - walk.mean())


def choice(rng, labels, steps):
    return [labels[index] for index in rng.integers(0, len(labels), steps)]


def without(frame, steps):
    """The frame without some time steps."""
    return frame[~frame["time_idx"].isin(steps)]


def joined(parts):
    return pd.concat(parts, ignore_index=True)


def fitted_without_names(scaler, column):
    """A scaler that the library can apply to lags: one that knows its column by name refuses lagged columns."""
    return scaler.fit(column.to_numpy().reshape(-1, 1))


def embedding_sizes(dataset, changes=None):
    """Sizes for every categorical of a data set, lagged ones too, which the library leaves out."""
    encoders = parameter(dataset, "categorical_encoders")
    lagged = dataset.lagged_variables
    classes = {name: len(encoders[lagged.get(name, name)].classes_) for name in dataset.categoricals}
    sizes = {name: (count, get_embedding_size(count)) for name, count in classes.items()}
    return {**sizes, **{name: (classes[name], width) for name, width in (changes or {}).items()}}


def host_d(rng, host, first, last, statuses):
    steps = last - first
    load = series(rng, 3.0 + host % 5, steps, spread=0.5)
    load[rng.random(steps) < 0.15] = 0.0
    time_idx = np.arange(first, last)
    return pd.DataFrame(
        {
            "time_idx": time_idx,
            "host": np.int64(host),
            "load": load,
            "temperature": series(rng, 40.0 + host, steps).astype(np.float32),
            "queue": series(rng, 2.0, steps, spread=0.6).astype(np.float32),
            "requests": series(rng, 0.8, steps),
            "pressure": series(rng, 1.0 + host, steps).astype(np.float32),
            "hour": (time_idx % 24).astype(np.int32),
            "shift": np.array(["day", "evening", "night"])[time_idx // 4 % 3],
            "status": choice(rng, statuses, steps),
            "rack": f"r{host % 4}",
        }
    )


def reference_d():
    """One target scaled by its own window; lags; shared variable networks; quantiles out of order."""
    rng = np.random.default_rng(SEED)
    known, seen = ["busy", "idle", "ok"], {3: 0, 11: 4, 20: 0, 42: 9}
    training = joined([host_d(rng, host, first, 70, known) for host, first in seen.items()])
    later = {42: 60, 3: 66, 77: 60, 11: 70, 20: 62, 8: 75}
    prediction = joined([host_d(rng, host, first, 92, [*known, "lost"]) for host, first in later.items()])
    dataset = dict(
        target="load",
        group_ids=["host"],
        min_encoder_length=6,
        max_encoder_length=20,
        max_prediction_length=5,
        static_categoricals=["rack"],
        time_varying_known_categoricals=["shift"],
        time_varying_known_reals=["hour"],
        time_varying_unknown_categoricals=["status"],
        time_varying_unknown_reals=["load", "temperature", "queue", "requests", "pressure"],
        lags={"load": [2, 7], "queue": [3], "requests": [1], "pressure": [6], "shift": [4]},
        add_relative_time_idx=True,
        add_target_scales=True,
        add_encoder_length=True,
        target_normalizer=EncoderNormalizer(transformation="softplus"),
        categorical_encoders={"status": NaNLabelEncoder(add_nan=True), "rack": NaNLabelEncoder(add_nan=True)},
        scalers={
            "temperature": RobustScaler(),
            "queue": fitted_without_names(StandardScaler(), training["queue"]),
            "requests": None,
            "pressure": GroupNormalizer(groups=["host"]),
        },
    )
    network = dict(
        hidden_size=12,
        attention_head_size=3,
        hidden_continuous_size=5,
        share_single_variable_networks=True,
        loss=QuantileLoss([0.5, 0.1, 0.9, 0.25]),
    )
    return Reference(training, prediction, dataset, network, {})


def host_e(rng, site, host, first, last):
    steps = last - first
    level = 1.0 + len(site) + int(host[1:])
    time_idx = np.arange(first, last)
    return pd.DataFrame(
        {
            "time_idx": time_idx,
            "site": site,
            "host": host,
            "cpu_pct": series(rng, 10.0 * level, steps),
            "mem": series(rng, 4.0 * level, steps),
            "net": series(rng, 0.7 * level, steps),
            "disk": series(rng, level, steps),
            "hour": time_idx % 24,
            "event_a": choice(rng, ["none", "deploy", "alarm"], steps),
            "event_b": choice(rng, ["none", "backup"], steps),
            "event_c": choice(rng, ["none", "alarm", "audit"], steps),
            "phase": np.array(["p0", "p1", "p2"])[time_idx % 3],
        }
    )


def rows_e(rng):
    hosts = [("east", "h1"), ("east", "h2"), ("west", "h1"), ("west", "h3")]
    training = [without(host_e(rng, *names, 0, 60), [17, 18, 40]) for names in hosts]
    gaps = {
        ("west", "h1"): [85, 91],
        ("east", "h2"): [70, 71, 72],
        ("east", "h1"): [],
        ("west", "h9"): [71, 72, 73, 74, 80, 81, 82],
        ("west", "h7"): [78, 90, 92],
    }
    prediction = [without(host_e(rng, *names, 60, 94), missing) for names, missing in gaps.items()]
    return joined(training), joined(prediction)


def reference_e():
    """Three targets with different quantiles, two group ids, grouped categoricals and filled gaps."""
    training, prediction = rows_e(np.random.default_rng(SEED + 1))
    groups = ["site", "host"]
    normalizers = [
        GroupNormalizer(groups=groups, scale_by_group=True),
        GroupNormalizer(groups=groups, method="robust", center=False),
        TorchNormalizer(method="identity", transformation="log1p"),
    ]
    dataset = dict(
        target=["cpu_pct", "mem", "net"],
        group_ids=groups,
        min_encoder_length=4,
        max_encoder_length=18,
        max_prediction_length=6,
        time_varying_known_categoricals=["phase"],
        time_varying_known_reals=["hour"],
        time_varying_unknown_categoricals=["events"],
        time_varying_unknown_reals=["cpu_pct", "mem", "net", "disk"],
        variable_groups={"events": ["event_a", "event_b", "event_c"]},
        constant_fill_strategy={"mem": 1.5, "disk": 0.25, "event_b": "backup"},
        allow_missing_timesteps=True,
        add_encoder_length=False,
        target_normalizer=MultiNormalizer(normalizers),
        categorical_encoders={"host": NaNLabelEncoder(add_nan=True), "events": NaNLabelEncoder(add_nan=True)},
    )
    levels = ([0.1, 0.5, 0.9], [0.02, 0.25, 0.5, 0.75, 0.98], [0.5, 0.9])
    network = dict(
        hidden_size=10,
        lstm_layers=3,
        attention_head_size=2,
        hidden_continuous_size=6,
        hidden_continuous_sizes={"disk": 13, "hour": 3, "cpu_pct": 10},
        embedding_sizes={"phase": 30, "events": 4},
        causal_attention=False,
        mask_bias=-1e4,
        loss=MultiLoss([QuantileLoss(level) for level in levels]),
    )
    return Reference(training, prediction, dataset, network, {})


def host_f(rng, host, first, last):
    steps = last - first
    number = int(host[1:])
    ratio = np.clip(series(rng, 0.2 + 0.1 * number, steps, spread=0.6), 0.0, 1.0)
    ratio[rng.random(steps) < 0.1] = 0.0
    time_idx = np.arange(first, last)
    return pd.DataFrame(
        {
            "time_idx": time_idx,
            "host": host,
            "ratio": ratio,
            "disk": series(rng, 3.0 + number, steps),
            "net": series(rng, 20.0 * (1 + number), steps),
            "errors": rng.poisson(2.0, steps),
            "hour": (time_idx % 24).astype(np.float32),
            "cores": 4.0 * (1 + number % 3),
            **{f"label_{name}": f"{name}{number % count}" for name, count in zip("uvwxyz", (2, 3, 4, 5, 6, 1))},
        }
    )


def rows_f(rng):
    training = [without(host_f(rng, f"m{number}", 0, 60), [30, 31]) for number in range(6)]
    gaps = {"m4": [80, 81, 90], "m0": [], "m11": [74, 75, 85], "m2": [72, 73, 74], "m5": [91]}
    prediction = [without(host_f(rng, host, 56, 93), missing) for host, missing in gaps.items()]
    prediction.append(without(host_f(rng, "m1", 72, 93), [76, 88]))
    return joined(training), joined(prediction)


def reference_f():
    """A target that is no input, the time index as an input, and scalers of every kind."""
    training, prediction = rows_f(np.random.default_rng(SEED + 2))
    normalizer = EncoderNormalizer(
        method="robust",
        max_length=[5, 12],
        method_kwargs={"upper": 0.9, "lower": 0.2, "center": 0.4},
        transformation="logit",
    )
    dataset = dict(
        target="ratio",
        group_ids=["host"],
        min_encoder_length=8,
        max_encoder_length=16,
        max_prediction_length=4,
        static_categoricals=[f"label_{name}" for name in "uvwxyz"],
        static_reals=["cores"],
        time_varying_known_reals=["time_idx", "hour"],
        time_varying_unknown_reals=["disk", "net", "errors"],
        lags={"disk": [1, 6]},
        allow_missing_timesteps=True,
        add_encoder_length=False,
        target_normalizer=normalizer,
        scalers={
            "disk": EncoderNormalizer(),
            "hour": MinMaxScaler(feature_range=(-1, 2)),
            "net": GroupNormalizer(groups=["host"], transformation="log1p"),
        },
    )
    network = dict(
        hidden_size=7,
        attention_head_size=1,
        hidden_continuous_size=4,
        loss=QuantileLoss([0.1, 0.5, 0.9]),
    )
    return Reference(training, prediction, dataset, network, {})


def host_g(rng, site, host, first, last, zeros=()):
    steps = last - first
    level = 1.0 + int(site[1:]) + 2.0 * int(host[1:])
    time_idx = np.arange(first, last)
    latency = series(rng, 10.0 * level, steps)
    latency[np.isin(time_idx, zeros)] = 0.0
    return pd.DataFrame(
        {
            "time_idx": time_idx,
            "site": site,
            "host": host,
            "latency": latency,
            "queue": series(rng, level, steps) * (rng.random(steps) > 0.2),
            "errors": rng.poisson(level, steps).astype(np.float64),
            "load": series(rng, 0.5 * level, steps).astype(np.float32),
            "hour": time_idx % 24,
            "cores": np.float32(2.0 * level),
        }
    )


def rows_g(rng):
    hosts = [("s0", "h1"), ("s0", "h2"), ("s1", "h1"), ("s1", "h3")]
    training = [host_g(rng, *names, 0, 50) for names in hosts]
    later = [
        host_g(rng, "s1", "h3", 50, 82, zeros=[70]),
        host_g(rng, "s1", "h0", 76, 82),
        host_g(rng, "s1", "h5", 58, 82),
        host_g(rng, "s0", "h1", 50, 82, zeros=[80]),
        host_g(rng, "s0", "h2", 60, 82),
        host_g(rng, "s0", "h3", 77, 82),
        host_g(rng, "s1", "h1", 69, 82),
    ]
    return joined(training), joined(later)


def reference_g():
    """Four transformations, groups found by one of two ids, no categoricals, groups that are too short."""
    training, prediction = rows_g(np.random.default_rng(SEED + 3))
    groups = ["site", "host"]
    normalizers = [
        GroupNormalizer(groups=["host"], transformation="log"),
        GroupNormalizer(groups=groups, transformation="sqrt"),
        GroupNormalizer(groups=["host"], scale_by_group=True, transformation="count"),
        GroupNormalizer(groups=["site"], method="robust", transformation="relu"),
    ]
    targets = ["latency", "queue", "errors", "load"]
    dataset = dict(
        target=targets,
        group_ids=groups,
        min_encoder_length=8,
        max_encoder_length=12,
        max_prediction_length=3,
        static_reals=["cores"],
        time_varying_known_reals=["hour"],
        time_varying_unknown_reals=targets,
        add_encoder_length=False,
        target_normalizer=MultiNormalizer(normalizers),
        categorical_encoders={"host": NaNLabelEncoder(add_nan=True)},
    )
    network = dict(
        hidden_size=8,
        lstm_layers=2,
        attention_head_size=4,
        hidden_continuous_size=8,
        loss=MultiLoss([QuantileLoss([0.1, 0.5, 0.9]) for _ in targets]),
    )
    return Reference(training, prediction, dataset, network, {"min_prediction_idx": 78})


REFERENCES = {"d": reference_d, "e": reference_e, "f": reference_f, "g": reference_g}


def disturb(model):
    """Moves every weight away from its initial value, which may be 0 or 1."""
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(WEIGHT_NOISE * torch.randn_like(weight))


def build(reference):
    """The data sets of training and prediction, and the network."""
    training = TimeSeriesDataSet(reference.training, time_idx="time_idx", **reference.dataset)
    prediction = TimeSeriesDataSet.from_dataset(
        training, reference.prediction, predict=True, stop_randomization=True, **reference.update
    )
    torch.manual_seed(SEED)
    network = dict(reference.network)
    network["embedding_sizes"] = embedding_sizes(training, network.get("embedding_sizes"))
    model = TemporalFusionTransformer.from_dataset(training, **network)
    disturb(model)
    return training, prediction, model.eval()


def stacked(tensors):
    """One tensor for all targets, or a single target's own."""
    dtype = torch.float64 if any(tensor.dtype == torch.float64 for tensor in tensors) else torch.float32
    return torch.stack([tensor.to(dtype) for tensor in tensors])


def by_target(name, tensors):
    """Stacked outputs of all targets, or one tensor per target if their quantiles differ in number."""
    if len({tensor.shape for tensor in tensors}) == 1:
        return {name: torch.stack(tensors)}
    return {f"{name}.{index}": tensor for index, tensor in enumerate(tensors)}


def input_tensors(x):
    names = ("encoder_cont", "encoder_cat", "decoder_cont", "decoder_cat", "encoder_lengths", "decoder_lengths")
    tensors = {name: x[name] for name in (*names, "decoder_time_idx", "groups")}
    for name in ("encoder_target", "decoder_target", "target_scale"):
        tensors[name] = stacked(x[name]) if isinstance(x[name], (list, tuple)) else x[name]
    return tensors


def in_double_precision(model, x):
    """The prediction and the output of the last layer with all arithmetic in double precision."""
    widen = lambda value: value.double() if value.is_floating_point() else value
    wide = {k: [widen(v) for v in item] if isinstance(item, list) else widen(item) for k, item in x.items()}
    torch.set_default_dtype(torch.float64)
    try:
        raw, network_output = forward(copy.deepcopy(model).double(), wide)
    finally:
        torch.set_default_dtype(torch.float32)
    return as_list(raw["prediction"]), network_output


def output_tensors(model, x, raw, network_output):
    names = ("encoder_attention", "decoder_attention", "static_variables", "encoder_variables")
    prediction_f64, network_output_f64 = in_double_precision(model, x)
    return {
        **{name: raw[name] for name in (*names, "decoder_variables")},
        **by_target("prediction", as_list(raw["prediction"])),
        **by_target("network_output", network_output),
        **by_target("prediction_f64", prediction_f64),
        **by_target("network_output_f64", network_output_f64),
    }


def interpretation_tensors(model, raw):
    tensors = {}
    for reduction in REDUCTIONS:
        parts = model.interpret_output(raw, reduction=reduction, attention_prediction_horizon=0)
        tensors.update({f"{reduction}.{name}": parts[name] for name in INTERPRETED})
    horizon = min(2, raw["decoder_attention"].shape[1] - 1)
    parts = model.interpret_output(raw, reduction="none", attention_prediction_horizon=horizon)
    return {**tensors, f"horizon{horizon}.attention": parts["attention"]}


def save_tensors(tensors, path):
    save_file({name: tensor.detach().contiguous().clone() for name, tensor in tensors.items()}, path)


def save_json(document, path):
    path.write_text(json.dumps(document, indent=1) + "\n")


def meta(prediction, x, model):
    samples = prediction.x_to_index(x).astype(str).to_dict(orient="records")
    shapes = {name: list(tensor.shape) for name, tensor in model.state_dict().items()}
    return {"samples": samples, "state_dict": shapes}


def generate(reference, folder):
    """Writes one golden set."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = reference.prediction.copy()
    training, prediction, model = build(reference)
    x, _ = next(iter(prediction.to_dataloader(train=False, batch_size=len(prediction))))
    raw, network_output = forward(model, x)
    rows.to_parquet(folder / "raw_rows.parquet", index=False)
    save_json({"format": "pf-tft-hparams/1", **architecture_document(model)}, folder / "hparams.json")
    document = {"format": "pf-tft-dataset/1", **dataset_document(prediction_parameters(training, reference))}
    save_json(document, folder / "dataset_parameters.json")
    save_json(meta(prediction, x, model), folder / "meta.json")
    save_file(state_tensors(model), folder / "model.safetensors")
    save_tensors(input_tensors(x), folder / "inputs.safetensors")
    save_tensors(output_tensors(model, x, raw, network_output), folder / "outputs.safetensors")
    save_tensors(interpretation_tensors(model, raw), folder / "interpretation.safetensors")


def prediction_parameters(training, reference):
    """The training's data set with what predictions change; its fitted state stays that of the training."""
    changed = copy.copy(training)
    for name, value in reference.update.items():
        setattr(changed, name, value)
    return changed


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, help="folder to which one folder per set is written")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"sets to make, all by default: {list(REFERENCES)}")
    arguments = parser.parse_args()
    unknown = sorted(set(arguments.names) - set(REFERENCES))
    if unknown:
        parser.error(f"unknown sets {unknown}, known are {list(REFERENCES)}")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    for name in arguments.names or REFERENCES:
        generate(REFERENCES[name](), arguments.out / name)


if __name__ == "__main__":
    main()
