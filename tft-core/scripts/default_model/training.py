"""Training of the default model: window sampling, augmentation, loss weights, optimisation."""

import math
import time

import numpy as np
import torch

from .encoding import (
    DECODER_STEPS, ENCODER_STEPS, HISTORY_STEPS, HISTORY_STEPS_MIN, STEP_MS, STEPS_PER_DAY, encode,
)
from .evaluate import grid_windows, point_forecasts
from .fleet import KINDS, forward_fill, windows
from .network import QUANTILES, tensors_of

# Probabilities per window of the augmentations.
TRUNCATED, THINNED, GAPPED, ANY_KIND, MIRRORED = 0.15, 0.25, 0.1, 0.2, 0.05
# Share of the windows whose clock moves to a random place in the week, so that the network learns
# what is common to all daily and weekly rhythms and not the hours of this fleet.
CLOCK_SHIFTED = 2.0 / 3.0
WEEK_STEPS = 7 * STEPS_PER_DAY
# Training weight of each quantile: the metric's three levels count most.
LEVEL_WEIGHTS = [0.5, 1.0, 0.7, 1.0, 0.7, 1.0, 0.5]
WINDOW_WEIGHT_MAX = 5.0
EMA_DECAY = 0.999
WARM_UP = 0.1  # share of the training in which the learning rate rises
SAVE_EVERY, REPORT_EVERY = 500, 2000  # steps


def horizon_weights():
    """Weight per step, mean 1: the average of 'mean over the first n steps' for n = 12, 24, 96, 96."""
    weights = np.zeros(DECODER_STEPS)
    for n in (12, 24, 96, 96):
        weights[:n] += 0.25 / n
    return weights * DECODER_STEPS


def series_levels(values, series, origins):
    """Mean absolute error of the decaying forecast per series, horizon-weighted: the loss's unit."""
    weights = horizon_weights()
    levels = np.full(len(values), np.nan)
    for one in series:
        _, history, actual = grid_windows(values, np.array([one]), origins)
        levels[one] = (np.abs(actual - point_forecasts(history)["decaying"]) * weights).mean()
    return levels


def augment(history, target, kind, random):
    """Shortens, thins, gaps and mirrors some windows, then fills short gaps like the service."""
    batch = len(history)
    step = np.arange(HISTORY_STEPS)
    length = random.integers(HISTORY_STEPS_MIN, HISTORY_STEPS + 1, batch)
    cut = (random.random(batch) < TRUNCATED)[:, None] & (step < (HISTORY_STEPS - length)[:, None])
    rate = np.where(random.random(batch) < THINNED, random.uniform(0.05, 0.3, batch), 0.0)
    thin = random.random(history.shape) < rate[:, None]
    first = random.integers(0, HISTORY_STEPS - HISTORY_STEPS_MIN, batch)
    gap_steps = random.integers(13, 300, batch)
    gap_end = np.minimum(first + gap_steps, HISTORY_STEPS - HISTORY_STEPS_MIN)
    gap = (random.random(batch) < GAPPED)[:, None] & (step >= first[:, None]) & (step < gap_end[:, None])
    thinned = forward_fill(np.where(cut | thin | gap, np.nan, history))
    # The encoder must be complete: the rare window whose thinning opened a long gap stays unthinned.
    complete = ~np.isnan(thinned[:, -ENCODER_STEPS:]).any(axis=1)
    history = np.where(complete[:, None], thinned, np.where(cut, np.nan, history))
    sign = np.where(random.random(batch) < MIRRORED, -1.0, 1.0)[:, None]
    kind = np.where(random.random(batch) < ANY_KIND, random.integers(0, len(KINDS), batch), kind)
    return history * sign, target * sign, kind


def grow(history, target, share, random):
    """Adds a line to a share of the windows from a random step on, as the data have none: a leak that
    goes on, or stops on the way.

    The slope lets a horizon gain 0.2 to 5 standard deviations of the history, up or (less often) down.
    """
    batch, end = len(history), HISTORY_STEPS + DECODER_STEPS
    first = random.integers(0, HISTORY_STEPS - 12, batch)
    goes_on = random.random(batch) < 0.8
    last = np.where(goes_on, end, random.integers(HISTORY_STEPS, end, batch))
    gain = np.exp(random.uniform(np.log(0.2), np.log(5.0), batch)) * np.where(random.random(batch) < 0.8, 1.0, -1.0)
    slope = np.where(random.random(batch) < share, gain * np.nanstd(history, axis=1) / DECODER_STEPS, 0.0)
    steps = np.clip(np.arange(end), first[:, None], last[:, None]) - first[:, None]
    line = slope[:, None] * steps
    return history + line[:, :HISTORY_STEPS], target + line[:, HISTORY_STEPS:]


def shifted_clock(origin_ms, random):
    """Moves some clocks by a uniform random number of steps of the week."""
    shift = random.integers(0, WEEK_STEPS, len(origin_ms)) * STEP_MS
    return origin_ms + np.where(random.random(len(origin_ms)) < CLOCK_SHIFTED, shift, 0)


class WindowSampler:
    """Draws training batches: random series, random origins, augmented and encoded."""

    def __init__(self, fleet, series, end_step, levels, growing, seed):
        self.fleet, self.series, self.end_step, self.levels = fleet, series, end_step, levels
        self.growing = growing
        self.random = np.random.default_rng(seed)

    def batch(self, size):
        """Network inputs, targets [B, 96] as residuals in scales, weights [B]."""
        series = self.random.choice(self.series, size)
        origins = self.random.integers(HISTORY_STEPS_MIN - 1, self.end_step - DECODER_STEPS, size)
        history, target = windows(self.fleet.values, series, origins)
        history, target = grow(history, target, self.growing, self.random)
        history, target, kind = augment(history, target, self.fleet.kinds[series], self.random)
        origin_ms = shifted_clock(self.fleet.origin_ms[origins], self.random)
        encoded = encode(history, kind, origin_ms)
        scale = encoded["scale"]
        residual = (target - encoded["baseline"]) / scale[:, None]
        weight = np.minimum(scale / self.levels[series], WINDOW_WEIGHT_MAX)
        return tensors_of(encoded), torch.from_numpy(residual).float(), torch.from_numpy(weight).float()


def quantile_loss(output, residual, weight, horizon, levels, level_weights):
    """Weighted mean pinball loss over windows, steps and quantiles."""
    error = residual[:, :, None] - output
    loss = torch.maximum(levels * error, (levels - 1.0) * error) @ level_weights
    return (loss * horizon * weight[:, None]).mean()


def cycle(progress):
    """One cycle over the share of the training done: 0 to 1 in the first tenth, then back to 0 (cosine)."""
    part = progress / WARM_UP if progress < WARM_UP else (1.0 - progress) / (1.0 - WARM_UP)
    return 0.5 - 0.5 * math.cos(math.pi * min(max(part, 0.0), 1.0))


def set_rate(optimiser, rate, progress):
    """Learning rate and first AdamW moment of the one-cycle schedule."""
    share = cycle(progress)
    lowest = rate / 25.0 if progress < WARM_UP else 0.0
    for group in optimiser.param_groups:
        group["lr"] = lowest + (rate - lowest) * share
        group["betas"] = (0.95 - 0.1 * share, 0.999)


def train(network, sampler, steps, batch, rate, seconds_max, compiled, save, report):
    """AdamW with one cycle; leaves the exponential moving average of the parameters in `network`.

    The schedule follows the steps; where these are slower than `seconds_max` allows, it follows the
    clock, so that the cycle is completed with fewer steps. `save(network, step, loss)` is called with
    the averaged parameters now and then and at the end, `report(network)` more rarely.
    """
    forward = torch.compile(network) if compiled else network
    parameters = list(network.parameters())
    average = [p.detach().clone() for p in parameters]
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.01)
    horizon = torch.from_numpy(horizon_weights()).float()
    levels, level_weights = torch.tensor(QUANTILES), torch.tensor(LEVEL_WEIGHTS)
    network.train()
    started, running, progress, step = time.monotonic(), 0.0, 0.0, 0
    while progress < 1.0:
        set_rate(optimiser, rate, progress)
        inputs, residual, weight = sampler.batch(batch)
        loss = quantile_loss(forward(*inputs), residual, weight, horizon, levels, level_weights)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        step += 1
        seconds = time.monotonic() - started
        progress = max(step / steps, seconds / seconds_max)
        decay = min(EMA_DECAY, step / (step + 10.0))
        torch._foreach_lerp_(average, [p.detach() for p in parameters], 1.0 - decay)
        running += (loss.item() - running) / min(step, 200)
        if step % 200 == 0:
            print(f"step {step} loss {running:.4f} progress {progress:.3f} {seconds:.0f} s", flush=True)
        if step % SAVE_EVERY == 0 and progress < 1.0:
            swap(parameters, average)
            save(network, step, running)
            if step % REPORT_EVERY == 0:
                report(network)
            swap(parameters, average)
            network.train()
    swap(parameters, average)
    save(network, step, running)
    print(f"{step} steps, loss {running:.4f}, {time.monotonic() - started:.0f} s", flush=True)
    return network.eval()


def swap(parameters, average):
    """Exchanges parameters and their average in place."""
    with torch.no_grad():
        for parameter, mean in zip(parameters, average):
            held = parameter.clone()
            parameter.copy_(mean)
            mean.copy_(held)
