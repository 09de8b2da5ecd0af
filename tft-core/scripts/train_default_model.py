"""Trains, calibrates, exports and evaluates the built-in forecasting model.

    python train_default_model.py --data DATA/fleet --other DATA/asd --models ../models/default \
        --fixture ../tests/fixtures/default_model.safetensors --test

The model is one Temporal Fusion Transformer for all servers and metrics. It sees one metric of one
server: the last 4 h in 5-min steps (encoder), the same time of the last three days (profile and
lags, encoder and decoder), the time of day and the weekend, and a few figures that describe the
window. It answers seven quantiles of the residual to the baseline "last value decaying to the 3-day
profile" for the next 8 h, in units of a scale taken from the window itself. It knows no server and
no metric name, so a new server or another fleet needs no fitting. In short (precisely in
default_model/encoding.py; i is a step, t the origin):

    p(i)    = mean of y(i-288), y(i-576), y(i-864), as far as known
    b(t+h)  = p(t+h) + (y(t) - p(t)) exp(-h/24)
    s       = mean of mean|y(i)-y(i-1)|, mean|y(i)-y(i-288)| and mean|y(i)-p(i)|, with a floor
    inputs  = asinh of y - y(t), p - y(t), y(i-288) - p, y(i-576) - p, y - p, each over s, and others
    q(t+h)  = b(t+h) + s network_q(h)

Split: gradient steps use days 1-16; days 17-20 choose settings and calibrate the bands; days 21-45
(test.parquet) are evaluated once at the end, with --test.
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from default_model.calibration import calibration_factors
from default_model.encoding import DECODER_STEPS, HISTORY_STEPS, STEPS_PER_DAY
from default_model.evaluate import BAND, Evaluation, network_outputs, quantile_forecasts, text, thinned
from default_model.export import write_fixture, write_model
from default_model.fleet import load_fleet, rolling_origins
from default_model.network import Network
from default_model.reference import largest_difference
from default_model.training import WindowSampler, series_levels, train

FIT_DAYS = 16  # of the 20 training days; the rest validates and calibrates
ORIGIN_EVERY = 36  # steps: 3 h
RESIDUAL_EVERY = 12  # steps: 1 h
COVERAGE_STEPS = (1, 3, 6, 12, 24, 48, 72, 96)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with train.parquet and test.parquet")
    parser.add_argument("--other", type=Path, help="another fleet, only evaluated")
    parser.add_argument("--models", type=Path, required=True, help="folder for the model's files")
    parser.add_argument("--fixture", type=Path, help="safetensors file of windows and expected tensors")
    parser.add_argument("--checkpoint", type=Path, default=Path("default_model.pt"), help="file of the parameters")
    parser.add_argument("--trained", action="store_true", help="read the checkpoint instead of training")
    parser.add_argument("--start", type=Path, help="checkpoint to go on from, instead of random parameters")
    parser.add_argument("--growing", type=float, default=0.2, help="share of windows with a steady growth added")
    parser.add_argument("--steps", type=int, default=8000, help="optimiser steps")
    parser.add_argument("--minutes-max", type=float, default=float("inf"), help="limit of the training's duration")
    parser.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    parser.add_argument("--batch", type=int, default=128, help="windows per step")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--no-compile", action="store_true", help="train without torch.compile")
    parser.add_argument("--test", action="store_true", help="evaluate on the test days")
    return parser.parse_args()


def fit(fleet, series, end_step, options, report):
    """The trained network, and what is remarked about its training."""
    torch.manual_seed(options.seed)
    network = Network()
    if options.start:
        network.load_state_dict(torch.load(options.start, weights_only=True)["parameters"])
    if not options.trained:
        origins = rolling_origins(HISTORY_STEPS - 1, end_step, RESIDUAL_EVERY)
        levels = series_levels(fleet.values, series, origins)
        sampler = WindowSampler(fleet, series, end_step, levels, options.growing, options.seed)

        def save(network, step, loss):
            remarks = {
                "steps": step, "windows_per_step": options.batch, "learning_rate_max": options.rate,
                "seed": options.seed, "loss": round(loss, 4),
            }
            torch.save({"parameters": network.state_dict(), "remarks": remarks}, options.checkpoint)

        train(network, sampler, options.steps, options.batch, options.rate, 60.0 * options.minutes_max,
              not options.no_compile, save, report)
    checkpoint = torch.load(options.checkpoint, weights_only=True)
    network.load_state_dict(checkpoint["parameters"])
    return network.eval(), checkpoint["remarks"]


def evaluation(fleet, series, first_step, last_step):
    """Windows from `first_step` on, every 3 h; baselines know only what comes before them."""
    before = rolling_origins(HISTORY_STEPS - 1, first_step, RESIDUAL_EVERY)
    return Evaluation(fleet, series, rolling_origins(first_step - 1, last_step, ORIGIN_EVERY), before)


def scores(name, part, network, factors, history=None):
    """Prints the figures of one split (model, raw model, baselines); returns those of the model."""
    encoded = part.encode(history)
    output = network_outputs(network, encoded)
    print(f"# {name}: {len(part.history)} windows")
    for baseline, figures in part.baselines.items():
        print(f"{baseline:>24}  {text(part.score(figures))}")
    for label, used in (("model, raw bands", None), ("model", factors)):
        quantiles = quantile_forecasts(output, encoded, used)
        figures = part.figures(quantiles[:, :, BAND])
        score = part.score(figures)
        print(f"{label:>24}  {text(score)}")
        by_step = {h: round(float(figures["coverage_by_step"][h - 1]), 3) for h in COVERAGE_STEPS}
        levels = np.round((part.actual[:, :, None] <= quantiles).mean(axis=(0, 1)), 3).tolist()
        crossings = int((np.diff(quantiles, axis=2) < 0).sum())
        print(f"{'':>24}  coverage by step {by_step}, share below each quantile {levels}, crossings {crossings}")
    raw_crossings = float((np.diff(output, axis=2) < 0).any(axis=2).mean())
    print(f"{'':>24}  share of steps whose network output crosses before sorting {raw_crossings:.4f}", flush=True)
    return {
        "windows": len(part.history),
        "relwql": {str(n): round(value, 3) for n, value in score["wql"].items()},
        "relative_mae": {str(n): round(value, 3) for n, value in score["mase"].items()},
        "coverage_p10_p90": round(score["coverage"], 3),
        "coverage_p10_p90_by_step": {str(h): value for h, value in by_step.items()},
    }


def main():
    options = arguments()
    torch.set_num_threads(options.threads)
    fleet = load_fleet(options.data)
    kept, fit_step, train_step = fleet.kept(), FIT_DAYS * STEPS_PER_DAY, fleet.train_steps
    validation = evaluation(fleet, kept, fit_step, train_step)
    encoded = validation.encode()

    def report(network):
        quantiles = quantile_forecasts(network_outputs(network, encoded), encoded)
        print("validation", text(validation.score(validation.figures(quantiles[:, :, BAND]))), flush=True)

    network, remarks = fit(fleet, kept, fit_step, options, report)
    residual = (validation.actual - encoded["baseline"]) / encoded["scale"][:, None]
    factors = calibration_factors(network_outputs(network, encoded), residual)
    if options.fixture:
        write_fixture(options.fixture, fleet, network, factors)
    sample = {name: values[:64] for name, values in encoded.items()}
    print(f"{sum(p.numel() for p in network.parameters())} parameters")
    print(f"largest difference to pytorch-forecasting: {largest_difference(network, sample):.1e}")

    def both(name, part):
        """Scores with all samples and with a fifth of them removed at random."""
        missing = f"{name}, 20 % of samples removed"
        figures[name] = scores(name, part, network, factors)
        figures[missing] = scores(missing, part, network, factors, thinned(part.history))

    figures = {}
    both("validation, days 17-20", validation)
    if options.other:
        other = load_fleet(options.other)
        first = HISTORY_STEPS + DECODER_STEPS + 10 * STEPS_PER_DAY
        part = evaluation(other, other.kept(), first, other.train_steps)
        name = f"{options.other.name}, another fleet, zero-shot"
        figures[name] = scores(name, part, network, factors)
    if options.test:
        both("test, days 21-45", evaluation(fleet, kept, train_step, fleet.values.shape[1]))
    write_model(options.models, network, factors, {
        "data": f"{options.data.name}: {len(kept)} series, every 5 min; JumpStarter (NetManAIOps), MIT licence",
        "days": f"1-{FIT_DAYS} gradient steps, {FIT_DAYS + 1}-{train_step // STEPS_PER_DAY} calibration",
        **remarks,
        "figures": figures,
    })


if __name__ == "__main__":
    main()
