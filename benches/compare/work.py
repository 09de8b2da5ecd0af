#!/usr/bin/env python3
"""Counts the floating-point work of a window: as the library does it, and as the engine does.

Counts the multiplications and additions of matrix products, two per weight and row; activations, norms and
softmaxes are left out on both sides. The engine's count is of a window of its own: inputs that are equal for a
whole fleet, and steps that are kept from the forecast before, take less.

    python3 benches/compare/work.py
    python3 benches/compare/work.py --hidden 128 --continuous 64

With `--milliseconds` and `--peak` it also says which share of the machine's peak a time per window is.
"""

import argparse
from pathlib import Path

from compare import GOLDEN_SET_A
from tft_dump import ensure_dump, read_hparams


class Sizes:
    """The sizes of a network; every variable has its width."""

    def __init__(self, hparams, encoder_steps, decoder_steps):
        self.hidden, self.heads = hparams["hidden_size"], hparams["attention_head_size"]
        self.layers = hparams["lstm_layers"]
        self.steps = (encoder_steps, decoder_steps)
        self.outputs = sum(as_list(hparams["output_size"]))
        widths = {name: size[1] for name, size in hparams["embedding_sizes"].items()}
        real = hparams["hidden_continuous_size"]
        reals = {**dict.fromkeys(hparams["x_reals"], real), **hparams.get("hidden_continuous_sizes", {})}

        def side(name, suffix=""):
            categoricals = hparams[f"{name}_categoricals{suffix}"]
            return [widths[c] for c in categoricals], [reals[r] for r in hparams[f"{name}_reals{suffix}"]]

        self.static = side("static")
        self.encoder = side("time_varying", "_encoder")
        self.decoder = side("time_varying", "_decoder")


def as_list(value):
    return value if isinstance(value, list) else [value]


def gated_residual(inputs, hidden, outputs, context=0):
    """Weights of a gated residual network as the library applies them to a row."""
    return inputs * hidden + context * hidden + hidden * hidden + hidden * 2 * outputs


def selection_as_written(variables, hidden, context):
    """Weights of a selection network as the library applies them to a row."""
    categoricals, reals = variables
    count = len(categoricals) + len(reals)
    weights = sum(width + gated_residual(width, min(width, hidden), hidden) for width in reals)
    if count > 1:
        flat = sum(categoricals) + sum(reals)
        weights += gated_residual(flat, min(hidden, count), count, context) + count * hidden
    return weights


def selection_as_run(variables, hidden):
    """The same of the engine: a real is one number, a categorical a row of a table."""
    categoricals, reals = variables
    count = len(categoricals) + len(reals)
    weights = sum(min(width, hidden) * (1 + 2 * hidden) + hidden for width in reals)
    if count > 1:
        inner = min(hidden, count)
        weights += len(reals) * (inner + count) + inner * 2 * count + count * hidden
    return weights


def as_written(sizes):
    """Multiplications and additions of a window, as the library does them."""
    hidden, heads, (encoder, decoder) = sizes.hidden, sizes.heads, sizes.steps
    steps, width = encoder + decoder, hidden // heads
    weights = selection_as_written(sizes.static, hidden, 0) + 4 * gated_residual(hidden, hidden, hidden)
    weights += encoder * selection_as_written(sizes.encoder, hidden, hidden)
    weights += decoder * selection_as_written(sizes.decoder, hidden, hidden)
    weights += steps * sizes.layers * 8 * hidden * hidden
    weights += steps * (2 * hidden * hidden + gated_residual(hidden, hidden, hidden, hidden))
    weights += (decoder + steps) * hidden * hidden + steps * hidden * width
    weights += heads * decoder * steps * 2 * width
    weights += decoder * (width * hidden + 4 * hidden * hidden + gated_residual(hidden, hidden, hidden))
    weights += decoder * hidden * sizes.outputs
    return 2 * weights


def as_run(sizes):
    """Multiplications and additions of a window, as the engine does them."""
    hidden, heads, (encoder, decoder) = sizes.hidden, sizes.heads, sizes.steps
    steps, width = encoder + decoder, hidden // heads
    gated = 3 * hidden * hidden
    weights = selection_as_run(sizes.static, hidden) + 4 * gated + 3 * hidden * hidden
    weights += encoder * selection_as_run(sizes.encoder, hidden)
    weights += decoder * selection_as_run(sizes.decoder, hidden)
    weights += steps * sizes.layers * 8 * hidden * hidden
    weights += steps * (2 * hidden * hidden + gated)
    weights += (decoder + steps) * hidden * hidden + steps * hidden * width
    # A step sees the steps before it; the heads' weights are averaged before the values are added up.
    visible = decoder * encoder + decoder * (decoder - 1) // 2
    weights += heads * visible * width + decoder * steps * width
    weights += decoder * (width * 2 * hidden + gated + 2 * hidden * hidden + hidden * sizes.outputs)
    return 2 * weights


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=GOLDEN_SET_A, help="a dump, or a golden fixture")
    parser.add_argument("--work", type=Path, default=Path("target") / "compare")
    parser.add_argument("--hidden", type=int, help="instead of the model's own")
    parser.add_argument("--continuous", type=int, help="instead of the model's own")
    parser.add_argument("--steps", type=int, nargs=2, default=(288, 96), metavar=("ENCODER", "DECODER"))
    parser.add_argument("--milliseconds", type=float, help="what a window takes")
    parser.add_argument("--peak", type=float, help="the machine's GFLOP/s, from `compare.py --peak`")
    arguments = parser.parse_args()
    hparams = dict(read_hparams(ensure_dump(arguments.model, arguments.work / "dump")))
    if arguments.hidden:
        hparams["hidden_size"] = arguments.hidden
    if arguments.continuous:
        hparams["hidden_continuous_size"], hparams["hidden_continuous_sizes"] = arguments.continuous, {}
    sizes = Sizes(hparams, *arguments.steps)
    written, run = as_written(sizes), as_run(sizes)
    print(f"as the library does it {written / 1e6:.1f} MFLOP per window, as the engine does {run / 1e6:.1f}")
    if arguments.milliseconds and arguments.peak:
        rate = run / arguments.milliseconds / 1e6
        print(f"{rate:.1f} GFLOP/s, {100 * rate / arguments.peak:.0f} % of the peak")


if __name__ == "__main__":
    main()
