"""Forecast quality: pinball losses, relWQL, MASE, coverage, and the simple baselines.

relWQL over the first n steps = mean pinball over P10, P50, P90, those steps and all origins, per
series divided by the mean absolute 24-h difference of the training part and by the same figure of
the seasonal-naive forecast, then the geometric mean over series. MASE: likewise with |y - P50|.
"""

import numpy as np
import torch

from .encoding import DECODER_STEPS, STEPS_PER_DAY, baseline_of, encode, profile_of
from .fleet import forward_fill, windows
from .network import QUANTILES, tensors_of

HORIZONS = (6, 12, 24, 96)
LEVELS = (0.1, 0.5, 0.9)
BAND = [QUANTILES.index(level) for level in LEVELS]
MEDIAN = QUANTILES.index(0.5)


def pinball(actual, forecast, level):
    """Quantile loss, elementwise."""
    error = actual - forecast
    return np.maximum(level * error, (level - 1.0) * error)


def window_losses(actual, bands):
    """Mean pinball over P10, P50, P90 per window and horizon: bands [W, 96, 3] -> [W, 96]."""
    return np.mean([pinball(actual, bands[..., k], level) for k, level in enumerate(LEVELS)], axis=0)


def per_series(losses, series_count):
    """Means over the first n steps and the origins: [S * origins, 96] -> dict n -> [S]."""
    grid = losses.reshape(series_count, -1, DECODER_STEPS)
    return {n: grid[:, :, :n].mean(axis=(1, 2)) for n in HORIZONS}


def geometric_ratio(figures, reference):
    """Geometric mean over series of figures / reference, per horizon."""
    return {n: float(np.exp(np.mean(np.log(figures[n] / reference[n])))) for n in HORIZONS}


def grid_windows(values, series, origins):
    """All (series, origin) pairs, series-major: series, history, actual values."""
    s = np.repeat(series, len(origins))
    return (s, *windows(values, s, np.tile(origins, len(series))))


def thinned(history, share=0.2, seed=3):
    """Histories with a share of the samples missing at random, short gaps filled as the service does."""
    keep = np.random.default_rng(seed).random(history.shape) >= share
    return forward_fill(np.where(keep, history, np.nan))


def point_forecasts(history):
    """The simple point forecasts, each [W, 96]."""
    steps = np.arange(1, DECODER_STEPS + 1)
    profile, _, _ = profile_of(history)
    day_ago = history[:, -STEPS_PER_DAY:][:, :DECODER_STEPS]
    hour = history[:, -12:]
    slope = ((np.arange(12) - 5.5) * hour).sum(axis=1) / 143.0
    return {
        "last value": np.repeat(history[:, -1:], DECODER_STEPS, axis=1),
        "seasonal naive": day_ago,
        "1-h linear": hour.mean(axis=1)[:, None] + slope[:, None] * (steps + 5.5),
        "decaying": baseline_of(history, profile),
    }


def baseline_bands(values, series, train_origins, test_history):
    """P10/P50/P90 [W, 96, 3] of the simple forecasts: plus each series' residual quantiles on training origins."""
    _, history, actual = grid_windows(values, series, train_origins)
    residuals = {name: actual - f for name, f in point_forecasts(history).items()}
    result = {}
    for name, forecast in point_forecasts(test_history).items():
        grid = residuals[name].reshape(len(series), -1, DECODER_STEPS)
        shifts = np.quantile(grid, LEVELS, axis=1)  # [3, series, 96]
        shifts = np.repeat(shifts, len(forecast) // len(series), axis=1)
        result[name] = np.moveaxis(forecast + shifts, 0, 2)
    return result


def network_outputs(network, encoded, chunk=256):
    """Network output [W, 96, 7] in f64 for encoded windows."""
    inputs = tensors_of(encoded)
    network.eval()
    with torch.no_grad():
        parts = [network(*(x[i : i + chunk] for x in inputs)).numpy() for i in range(0, len(inputs[0]), chunk)]
    return np.concatenate(parts).astype(np.float64)


def quantile_forecasts(output, encoded, factors=None):
    """Forecasts [W, 96, 7] in the metric's units: baseline + scale * output, widened, sorted."""
    quantiles = encoded["baseline"][:, :, None] + encoded["scale"][:, None, None] * output
    if factors is not None:
        median = quantiles[:, :, MEDIAN : MEDIAN + 1]
        quantiles = median + factors * (quantiles - median)
    return np.sort(quantiles, axis=2)


class Evaluation:
    """Windows of a split with the seasonal-naive reference, ready to score forecasts."""

    def __init__(self, fleet, series, origins, train_origins):
        self.series_count = len(series)
        index, self.history, self.actual = grid_windows(fleet.values, series, origins)
        self.kinds = fleet.kinds[index]
        self.origin_ms = np.tile(fleet.origin_ms[origins], len(series))
        bands = baseline_bands(fleet.values, series, train_origins, self.history)
        self.baselines = {name: self.figures(b) for name, b in bands.items()}

    def encode(self, history=None, chunk=8192):
        """The windows encoded, with another history where given; in chunks, to bound the memory."""
        history = self.history if history is None else history
        parts = [
            encode(*(values[i : i + chunk] for values in (history, self.kinds, self.origin_ms)))
            for i in range(0, len(history), chunk)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}

    def figures(self, bands):
        """Per-series losses of P10/P50/P90 bands [W, 96, 3], MAE of the median, coverage."""
        low, median, high = (bands[:, :, k] for k in range(3))
        inside = (self.actual >= low) & (self.actual <= high)
        return {
            "wql": per_series(window_losses(self.actual, bands), self.series_count),
            "mae": per_series(np.abs(self.actual - median), self.series_count),
            "coverage": float(inside.mean()),
            "coverage_by_step": inside.mean(axis=0),
        }

    def score(self, figures):
        """relWQL and relative MASE per horizon, and coverage, of one method."""
        naive = self.baselines["seasonal naive"]
        return {
            "wql": geometric_ratio(figures["wql"], naive["wql"]),
            "mase": geometric_ratio(figures["mae"], naive["mae"]),
            "coverage": figures["coverage"],
        }


def text(score):
    """One line for a score."""
    parts = [f"{name} " + " ".join(f"{n}:{v:.3f}" for n, v in score[name].items()) for name in ("wql", "mase")]
    return " | ".join([*parts, f"coverage {score['coverage']:.3f}"])
