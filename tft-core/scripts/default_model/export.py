"""Files of the default model: weights, description with calibration, and the test fixture."""

import hashlib
import json

import numpy as np
from safetensors.numpy import save

from .encoding import (
    DAY_MS, DECAY_STEPS, DECODER_STEPS, ENCODER_STEPS, HISTORY_STEPS_MIN, PROFILE_DAYS, STEP_MS, STEPS_PER_DAY,
    encode,
)
from .evaluate import network_outputs, quantile_forecasts
from .fleet import KINDS, forward_fill, windows
from .network import QUANTILES, architecture, state_dict_of_pytorch_forecasting

MODEL_ID = "tft-default-1"


def write_model(folder, network, factors, training):
    """Writes model.safetensors and model.json; `training` holds remarks for people."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: t.numpy() for name, t in state_dict_of_pytorch_forecasting(network).items()}
    weights = write_tensors(folder / "model.safetensors", state)
    description = {
        "format_version": 1,
        "id": MODEL_ID,
        "step_ms": STEP_MS,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "architecture": architecture(network),
        "encoding": {
            "kind": "univariate",
            "encoder_length": ENCODER_STEPS,
            "prediction_length": DECODER_STEPS,
            "profile_days": PROFILE_DAYS,
            "steps_per_day": STEPS_PER_DAY,
            "decay_steps": DECAY_STEPS,
            "history_steps_min": HISTORY_STEPS_MIN,
        },
        "calibration": {"quantiles": QUANTILES, "factors": factors.tolist()},
        "training": training,
    }
    (folder / "model.json").write_text(indented(description) + "\n")


def write_tensors(path, tensors):
    """Writes a safetensors file with the usual file mode (the library's own writer makes it private)."""
    data = save(tensors)
    path.write_bytes(data)
    return data


def indented(value, depth=0):
    """JSON, one line per entry; lists without nested lists or objects stay on one line."""
    inner, outer = "  " * (depth + 1), "  " * depth
    if isinstance(value, dict) and value:
        entries = [f"{json.dumps(name)}: {indented(entry, depth + 1)}" for name, entry in value.items()]
        return "{\n" + ",\n".join(inner + entry for entry in entries) + f"\n{outer}}}"
    if isinstance(value, list) and any(isinstance(entry, (list, dict)) for entry in value):
        entries = [indented(entry, depth + 1) for entry in value]
        return "[\n" + ",\n".join(inner + entry for entry in entries) + f"\n{outer}]"
    return json.dumps(value, ensure_ascii=False)


def fixture_windows(fleet, seed=7):
    """Twelve diverse raw windows of the last days: histories, instants of the origins, kinds.

    The values are representable in f32, the precision in which the library holds a history.
    """
    random = np.random.default_rng(seed)
    kept = fleet.kept()
    span = np.ptp(fleet.values, axis=1)
    constant = np.flatnonzero(span == 0.0)[:1]
    sparse = np.setdiff1d(np.flatnonzero(span > 0.0), kept)[:1]
    per_kind = [random.choice(kept[fleet.kinds[kept] == k], 3, replace=False) for k in range(len(KINDS))]
    series = np.concatenate([*per_kind, constant, sparse, random.choice(kept, 1)])
    origins = random.integers(fleet.train_steps, fleet.values.shape[1] - DECODER_STEPS, len(series))
    weekdays = (fleet.origin_ms[origins] // DAY_MS + 3) % 7
    assert (weekdays >= 5).any() and (weekdays < 5).any(), "the fixture lacks weekends or weekdays"
    history, _ = windows(fleet.values, series, origins)
    steps = history.shape[1]
    history[1, : steps - HISTORY_STEPS_MIN] = np.nan  # the shortest history
    history[4, : steps - 400] = np.nan  # one day and a part
    thin = random.random(history.shape) < 0.2
    thin[[0, 1, 3, 4, 6, 9, 10]] = False  # thinned: windows 2, 5, 7, 8, 11
    history[thin] = np.nan
    history[7, 300:420] = np.nan  # a long gap
    history = forward_fill(history).astype(np.float32).astype(np.float64)
    assert not np.isnan(history[:, -ENCODER_STEPS:]).any(), "the encoder must be complete"
    return history, fleet.origin_ms[origins], fleet.kinds[series]


def write_fixture(path, fleet, network, factors):
    """Writes raw windows with every tensor on the way to their calibrated forecasts."""
    history, origin_ms, kind = fixture_windows(fleet)
    encoded = encode(history, kind, origin_ms)
    output = network_outputs(network, encoded)
    tensors = {name: np.ascontiguousarray(value) for name, value in encoded.items()} | {
        "history": history,
        "origin_ms": origin_ms,
        "kind": kind,
        "network_output": output.astype(np.float32),
        "prediction": quantile_forecasts(output, encoded, factors),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_tensors(path, tensors)
