"""How well checkpoints of the built-in model forecast a steady growth, such as a leak.

    python evaluate_growth.py --data DATA/fleet first.pt default_model.pt

Adds a line of 2 standard deviations of the history per 8 h to the last 60, 150 and 600 steps of windows
of days 17-20 (every fifth series, every 16 h), and goes on with it over the horizon. Prints, per
checkpoint and for the last value: the median over windows of the mean absolute error over the first 1, 2
and 8 h, in standard deviations, and the share of values inside the uncalibrated P10-P90 band.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from default_model.encoding import DECODER_STEPS, HISTORY_STEPS, STEPS_PER_DAY, encode
from default_model.evaluate import BAND, grid_windows, network_outputs, quantile_forecasts
from default_model.fleet import load_fleet
from default_model.network import Network

GAIN = 2.0  # standard deviations per horizon
GROWING_STEPS = (60, 150, 600)
HORIZONS = (12, 24, 96)


def load(checkpoint):
    network = Network()
    network.load_state_dict(torch.load(checkpoint, weights_only=True)["parameters"])
    return network.eval()


def errors(actual, forecast, deviation):
    """Median over windows of the mean absolute error over the first steps, in standard deviations."""
    relative = np.abs(actual - forecast) / deviation[:, None]
    return [round(float(np.median(relative[:, :n].mean(axis=1))), 3) for n in HORIZONS]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder with train.parquet")
    parser.add_argument("checkpoints", type=Path, nargs="+")
    options = parser.parse_args()
    fleet = load_fleet(options.data)
    origins = np.arange(16 * STEPS_PER_DAY - 1, 20 * STEPS_PER_DAY - DECODER_STEPS, 192)
    kept = fleet.kept()[::5]
    series, history, actual = grid_windows(fleet.values, kept, origins)
    clock, deviation = fleet.origin_ms[np.tile(origins, len(kept))], np.nanstd(history, axis=1)
    step = np.arange(HISTORY_STEPS + DECODER_STEPS)
    for growing in GROWING_STEPS:
        line = (GAIN * deviation / DECODER_STEPS)[:, None] * np.maximum(step - (HISTORY_STEPS - growing), 0)
        grown, future = history + line[:, :HISTORY_STEPS], actual + line[:, HISTORY_STEPS:]
        encoded = encode(grown, fleet.kinds[series], clock)
        print(f"growing for {growing} steps, last value: {errors(future, grown[:, -1:], deviation)}")
        for checkpoint in options.checkpoints:
            bands = quantile_forecasts(network_outputs(load(checkpoint), encoded), encoded)[:, :, BAND]
            inside = float(((future >= bands[:, :, 0]) & (future <= bands[:, :, 2])).mean())
            print(f"  {checkpoint.name}: {errors(future, bands[:, :, 1], deviation)}, inside {inside:.3f}", flush=True)


if __name__ == "__main__":
    main()
