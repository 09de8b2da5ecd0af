"""Owns the JSON form of pytorch-forecasting objects: data sets, normalisers, encoders and network shapes.

A data set of which only the parameters were saved is rebuilt here too, over a made-up frame.
`export_pytorch_forecasting.py` and `generate_reference.py` both write what this module makes. Works with
pytorch-forecasting 1.0 to 1.8. Nothing here reads or writes files.
"""

import math
import warnings

import numpy as np
import pandas as pd
import torch
from pytorch_forecasting import TimeSeriesDataSet
from pytorch_forecasting.data.encoders import (
    EncoderNormalizer,
    GroupNormalizer,
    MultiNormalizer,
    NaNLabelEncoder,
    TorchNormalizer,
)
from pytorch_forecasting.metrics import MultiLoss, QuantileLoss
from sklearn.preprocessing import RobustScaler, StandardScaler

# Stands in for an infinite mask: any score that the softmax turns into exactly 0.
MASK_BIAS_FINITE = -1e30
POINT_QUANTILE = 0.5
AFFINE_PROBES = (0.0, 1.0, -3.0, 0.5, 250.0)

VARIABLE_LISTS = (
    "static_categoricals",
    "static_reals",
    "time_varying_known_categoricals",
    "time_varying_known_reals",
    "time_varying_unknown_categoricals",
    "time_varying_unknown_reals",
)
NETWORK_LISTS = (
    "static_categoricals",
    "static_reals",
    "time_varying_categoricals_encoder",
    "time_varying_categoricals_decoder",
    "time_varying_reals_encoder",
    "time_varying_reals_decoder",
    "x_reals",
    "x_categoricals",
)


class ExportError(Exception):
    """What keeps a model from being exported, all of it."""

    def __init__(self, problems):
        self.problems = list(problems)
        super().__init__("the model can not be exported:\n" + "\n".join(f"- {line}" for line in self.problems))


class Unsupported(Exception):
    """An object that has no JSON form; the message names it."""


def parameter(dataset, name):
    """A data set's effective parameter; since 1.5 it has a leading underscore, beside what the user gave."""
    value = getattr(dataset, f"_{name}", None)
    return getattr(dataset, name) if value is None else value


def plain(value):
    """The value with numpy and torch types replaced by what JSON knows."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic, torch.Tensor)):
        return plain(value.tolist())
    return value


def label(value):
    """The text that names a class."""
    is_nan = isinstance(value, (float, np.floating)) and math.isnan(value)
    return "nan" if is_nan else str(value)


def is_encoded(dataset, column):
    """Whether a column holds class codes by the time that normalisers are fitted."""
    groups_are_encoded = isinstance(dataset.target_normalizer, (GroupNormalizer, MultiNormalizer))
    encoded = list(dataset.flat_categoricals) + (list(dataset.group_ids) if groups_are_encoded else [])
    return column in encoded


def transformation_name(normalizer):
    name = normalizer.transformation
    if name is None or isinstance(name, str):
        return name
    raise Unsupported("its transformation is a set of functions; only the library's names can be exported")


def common_fields(normalizer):
    return {
        "type": type(normalizer).__name__,
        "method": normalizer.method,
        "center": bool(normalizer.center),
        "transformation": transformation_name(normalizer),
        "method_kwargs": plain(getattr(normalizer, "method_kwargs", None) or {}),
    }


def center_and_scale(constants):
    return {"center": float(constants["center"]), "scale": float(constants["scale"])}


def group_table(table, missing, columns, dataset):
    """Rows of a fitted table; a group whose scale is undefined has the constants of unknown groups."""
    names = [index if isinstance(index, tuple) else (index,) for index in table.index]
    entry = lambda column, value: int(value) if is_encoded(dataset, column) else label(value)
    table = table.fillna(missing)
    return {
        "index": [[entry(column, value) for column, value in zip(columns, row)] for row in names],
        "center": [float(value) for value in table["center"]],
        "scale": [float(value) for value in table["scale"]],
    }


def group_normalizer_document(normalizer, dataset):
    groups = list(parameter(normalizer, "groups") or [])
    document = {**common_fields(normalizer), "groups": groups, "scale_by_group": normalizer.scale_by_group}
    if not groups:
        return {**document, "norm": center_and_scale(normalizer.norm_)}
    norm, missing = normalizer.norm_, normalizer.missing_
    if normalizer.scale_by_group:
        tables = {name: group_table(norm[name], missing[name], [name], dataset) for name in groups}
        constants = {name: center_and_scale(missing[name]) for name in groups}
        return {**document, "norm": tables, "missing": constants}
    return {
        **document,
        "norm": group_table(norm, missing, groups, dataset),
        "missing": center_and_scale(missing),
    }


def torch_normalizer_document(normalizer):
    document = common_fields(normalizer)
    is_fitted_anew = isinstance(normalizer, EncoderNormalizer)
    if is_fitted_anew:
        document["max_length"] = plain(normalizer.max_length)
    if is_fitted_anew and not normalizer.center:
        document["scale_without_center"] = scale_without_center()
    center, scale = np.asarray(normalizer.center_), np.asarray(normalizer.scale_)
    is_single = center.size == 1 and scale.size == 1 and bool(np.isfinite(center).all() and np.isfinite(scale).all())
    if is_single:
        return {**document, "fitted_center": float(center.item()), "fitted_scale": float(scale.item())}
    if is_fitted_anew:
        return {**document, "fitted_center": 0.0, "fitted_scale": 1.0}
    raise Unsupported("it was fitted to more than one centre and scale, or to none")


def scale_without_center():
    """What the installed library divides by where it does not centre: the `center` (1.0) or the `spread` (1.8)."""
    probe = EncoderNormalizer(center=False).fit(torch.tensor([100.0, 101.0, 102.0]))
    return "center" if float(probe.scale_) > 50.0 else "spread"


def normalizer_document(normalizer, dataset):
    """The JSON form of a normaliser of a target."""
    if isinstance(normalizer, MultiNormalizer):
        parts = [normalizer_document(part, dataset) for part in normalizer.normalizers]
        return {"type": "MultiNormalizer", "normalizers": parts}
    if isinstance(normalizer, GroupNormalizer):
        return group_normalizer_document(normalizer, dataset)
    if isinstance(normalizer, TorchNormalizer):
        return torch_normalizer_document(normalizer)
    if isinstance(normalizer, NaNLabelEncoder):
        raise Unsupported("it is categorical (NaNLabelEncoder); only real targets can be exported")
    raise Unsupported(f"its normaliser {type(normalizer).__name__} is unknown")


def scaler_document(scaler, dataset):
    """The JSON form of a covariate's scaler, null if there is none."""
    if scaler is None:
        return None
    if isinstance(scaler, TorchNormalizer):
        return normalizer_document(scaler, dataset)
    if type(scaler) is StandardScaler:
        mean = scaler.mean_[0] if scaler.with_mean else 0.0
        scale = scaler.scale_[0] if scaler.with_std else 1.0
        return {"type": "StandardScaler", "mean": float(mean), "scale": float(scale)}
    if type(scaler) is RobustScaler:
        center = scaler.center_[0] if scaler.with_centering else 0.0
        scale = scaler.scale_[0] if scaler.with_scaling else 1.0
        return {"type": "RobustScaler", "center": float(center), "scale": float(scale)}
    return affine_scaler_document(scaler)


def affine_scaler_document(scaler):
    """A scaler known by what it does to a few values."""
    probes = np.array(AFFINE_PROBES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = np.asarray(scaler.transform(probes.reshape(-1, 1)), dtype=np.float64).reshape(-1)
    offset, slope = values[0], values[1] - values[0]
    is_affine = slope != 0 and np.allclose(values, offset + slope * probes, rtol=1e-9, atol=1e-12)
    if not is_affine:
        raise Unsupported(f"its scaler {type(scaler).__name__} is not of the form (x - center) / scale")
    return {"type": "AffineScaler", "center": float(-offset / slope) + 0.0, "scale": float(1.0 / slope)}


def encoder_document(encoder):
    """The JSON form of a NaNLabelEncoder."""
    classes = [[label(name), int(code)] for name, code in encoder.classes_.items()]
    return {"type": "NaNLabelEncoder", "add_nan": bool(encoder.add_nan), "classes": classes}


def target_names(dataset):
    return list(dataset.target_names)


def dataset_document(dataset):
    """The JSON form of a `TimeSeriesDataSet`'s parameters.

    Raises Unsupported with all its problems, one per line.
    """
    problems = dataset_problems(dataset)
    if problems:
        raise Unsupported("\n".join(problems))
    scalers = parameter(dataset, "scalers")
    encoders = parameter(dataset, "categorical_encoders")
    encoders = {name: encoder for name, encoder in encoders.items() if encoder is not None}
    return {
        "time_idx": dataset.time_idx,
        "targets": target_names(dataset),
        "multi_target": bool(dataset.multi_target),
        "group_ids": list(dataset.group_ids),
        "weight": dataset.weight,
        **lengths_document(dataset),
        **{name: list(parameter(dataset, name)) for name in VARIABLE_LISTS},
        "variable_groups": plain(parameter(dataset, "variable_groups")),
        "constant_fill_strategy": plain(parameter(dataset, "constant_fill_strategy")),
        "lags": plain(parameter(dataset, "lags")),
        **options_document(dataset),
        "reals": list(dataset.reals),
        "flat_categoricals": list(dataset.flat_categoricals),
        "target_normalizer": normalizer_document(dataset.target_normalizer, dataset),
        "scalers": {name: scaler_document(scaler, dataset) for name, scaler in scalers.items()},
        "categorical_encoders": {
            # One that the library has no use for is never fitted.
            name: encoder_document(encoder)
            for name, encoder in encoders.items()
            if hasattr(encoder, "classes_")
        },
    }


def lengths_document(dataset):
    names = ("max_encoder_length", "min_encoder_length", "max_prediction_length", "min_prediction_length")
    return {name: int(getattr(dataset, name)) for name in (*names, "min_prediction_idx")}


def raw_columns(dataset):
    """The columns that a frame needs for this data set."""
    scalers = [*parameter(dataset, "scalers").values(), *dataset.target_normalizers]
    grouped = [group for part in scalers for group in (getattr(part, "groups", None) or [])]
    variables = [*dataset.flat_categoricals, *dataset.reals]
    made = made_columns(dataset)
    names = [dataset.time_idx, *dataset.group_ids, *target_names(dataset), *grouped, *variables]
    names += [dataset.weight] if dataset.weight else []
    return [name for name in dict.fromkeys(names) if name not in made]


def made_columns(dataset):
    """The columns that the data set adds by itself."""
    made = set(dataset.lagged_variables)
    made |= {"relative_time_idx"} if dataset.add_relative_time_idx else set()
    made |= {"encoder_length"} if dataset.add_encoder_length else set()
    if dataset.add_target_scales:
        made |= {f"{name}_{part}" for name in target_names(dataset) for part in ("center", "scale")}
    return made


def options_document(dataset):
    names = ("allow_missing_timesteps", "add_relative_time_idx", "add_target_scales", "add_encoder_length")
    options = {name: bool(getattr(dataset, name)) for name in names}
    return {**options, "randomize_length": plain(dataset.randomize_length)}


def dataset_problems(dataset):
    """Every part of a data set that can not be exported, named."""
    targets = zip(target_names(dataset), dataset.target_normalizers)
    checks = [(f"target `{name}`", normalizer_document, part) for name, part in targets]
    scalers = parameter(dataset, "scalers")
    checks += [(f"real `{name}`", scaler_document, scalers[name]) for name in scalers]
    problems = []
    for subject, document, part in checks:
        try:
            document(part, dataset)
        except Unsupported as problem:
            problems.append(f"{subject}: {problem}")
    return problems


def losses(model):
    """The loss of each target."""
    return list(model.loss.metrics) if isinstance(model.loss, MultiLoss) else [model.loss]


def output_sizes(model, targets):
    sizes = model.hparams.output_size
    return [int(size) for size in sizes] if isinstance(sizes, (list, tuple)) else [int(sizes)] * targets


def quantile_levels(model):
    """The quantile levels of each target; a point loss has one, the median."""
    levels = lambda loss: loss.quantiles if isinstance(loss, QuantileLoss) else [POINT_QUANTILE]
    return [[float(level) for level in levels(loss)] for loss in losses(model)]


def mask_bias(model):
    bias = float(model.hparams.get("mask_bias", -1e9))
    return bias if math.isfinite(bias) else MASK_BIAS_FINITE


def architecture_document(model):
    """The JSON form of a network's shape."""
    hparams = model.hparams
    sizes = model.input_embeddings.embedding_sizes
    return {
        "hidden_size": int(hparams.hidden_size),
        "lstm_layers": int(hparams.lstm_layers),
        "attention_head_size": int(hparams.attention_head_size),
        "dropout": float(hparams.dropout),
        "n_targets": len(losses(model)),
        "output_size": output_sizes(model, len(losses(model))),
        "quantiles": quantile_levels(model),
        "hidden_continuous_size": int(hparams.hidden_continuous_size),
        "hidden_continuous_sizes": plain(dict(hparams.hidden_continuous_sizes)),
        "max_encoder_length": int(hparams.max_encoder_length),
        "mask_bias": mask_bias(model),
        "causal_attention": bool(hparams.get("causal_attention", True)),
        "share_single_variable_networks": bool(hparams.share_single_variable_networks),
        **{name: list(hparams[name]) for name in NETWORK_LISTS},
        "categorical_groups": plain(dict(hparams.categorical_groups)),
        "embedding_sizes": {name: [int(size[0]), int(size[1])] for name, size in sizes.items()},
        "embedding_paddings": list(hparams.embedding_paddings),
        "layer_norm_eps": 1e-5,
    }


def state_tensors(model):
    """The weights in single precision, ready for safetensors; names that share a tensor are all there."""
    return {name: tensor.detach().float().contiguous().clone() for name, tensor in model.state_dict().items()}


def forward(model, x):
    """The raw output of a network, and the outputs of its last layer as a list, one per target."""
    captured = []
    transform = model.transform_output

    def capture(prediction, **arguments):
        captured.append(prediction)
        return transform(prediction, **arguments)

    model.transform_output = capture
    try:
        with torch.no_grad():
            raw = model(x)
    finally:
        del model.transform_output
    return raw, as_list(captured[0])


def as_list(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]


def dataset_of_parameters(parameters):
    """A data set over a made-up frame, with the encoders and scalers of `get_parameters()`."""
    frame = DummyFrame(parameters).rows()
    return TimeSeriesDataSet.from_parameters(parameters, frame, stop_randomization=True)


class DummyFrame:
    """A frame that a data set's parameters accept: known labels, plausible numbers, two groups at most."""

    GROUPS = 2

    def __init__(self, parameters):
        self.parameters = parameters
        self.encoders = parameters["categorical_encoders"] or {}
        self.scalers = parameters["scalers"] or {}
        self.targets = as_list(parameters["target"])
        self.grouped = parameters.get("variable_groups") or {}

    def rows(self):
        lags = [lag for lags in (self.parameters.get("lags") or {}).values() for lag in lags]
        lengths = (self.parameters["max_encoder_length"], self.parameters["max_prediction_length"])
        steps = sum(lengths) + max(lags, default=0)
        groups = min(self.GROUPS, min(len(self.labels(name)) for name in self.parameters["group_ids"]))
        return pd.concat([self.group(number, steps) for number in range(groups)], ignore_index=True)

    def group(self, number, steps):
        columns = {name: self.real(name, steps, number) for name in self.listed("reals")}
        columns.update({name: self.real(name, steps, number) for name in self.targets})
        columns.update({name: self.categorical(name, steps, number) for name in self.flat_categoricals()})
        static = self.parameters["static_categoricals"] or []
        static = [part for name in static for part in self.grouped.get(name, [name])]
        for name in dict.fromkeys([*static, *self.group_columns(), *self.parameters["group_ids"]]):
            columns[name] = self.labels(name)[number % len(self.labels(name))]
        if self.parameters.get("weight"):
            columns[self.parameters["weight"]] = 1.0
        columns[self.parameters["time_idx"]] = int(self.parameters.get("min_prediction_idx") or 0) + np.arange(steps)
        return pd.DataFrame(columns)

    def listed(self, kind):
        sides = ("static", "time_varying_known", "time_varying_unknown")
        names = [name for side in sides for name in self.parameters[f"{side}_{kind}"] or []]
        return [name for name in names if name not in self.made()]

    def flat_categoricals(self):
        return [part for name in self.listed("categoricals") for part in self.grouped.get(name, [name])]

    def group_columns(self):
        """Columns by which scalers group, whether or not they are variables."""
        found = [*self.scalers.values(), self.parameters["target_normalizer"]]
        return [name for part in found for name in getattr(part, "groups", None) or [] if isinstance(name, str)]

    def made(self):
        """The columns that the data set adds by itself, some of which its parameters list."""
        lags = (self.parameters.get("lags") or {}).items()
        lagged = {f"{name}_lagged_by_{lag}" for name, of_name in lags for lag in of_name}
        scales = {f"{name}_{part}" for name in self.targets for part in ("center", "scale")}
        return {"relative_time_idx", "encoder_length"} | lagged | scales

    def labels(self, name):
        """The classes of a column, without the one for unknown labels."""
        of_group = {part: group for group, parts in self.grouped.items() for part in parts}
        encoder = self.encoders.get(f"__group_id__{name}") or self.encoders.get(of_group.get(name, name))
        if encoder is None:
            return ["unknown"]
        known = [label for label, code in encoder.classes_.items() if not (encoder.add_nan and code == 0)]
        return known or ["unknown"]

    def categorical(self, name, steps, number):
        labels = self.labels(name)
        return [labels[(step + number) % len(labels)] for step in range(steps)]

    def real(self, name, steps, number):
        """A wave around the mean of the training, or between 0 and 1, which every transformation takes."""
        wave = np.sin(np.arange(steps) * 0.37 + number + len(name))
        scaler = self.scalers.get(name)
        if isinstance(scaler, StandardScaler) and scaler.with_mean and scaler.with_std:
            return scaler.mean_[0] + scaler.scale_[0] * wave
        return 0.5 + 0.25 * wave
