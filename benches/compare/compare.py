#!/usr/bin/env python3
"""Compares how long the network's forward pass takes: pytorch-forecasting, what can be made of it, and ours.

All runtimes get the same weights, windows and number of threads in one session, and take turns round by round,
so that a machine that slows down slows them all. Each answer is checked against pytorch-forecasting's before
anything is timed: within 1e-3 * max(1, |y|) on the output of the last layer.

    python3 -m venv VENV && VENV/bin/pip install -r benches/compare/requirements.txt
    cargo build --release -p tft-examples --example network
    VENV/bin/python benches/compare/compare.py --network target/release/examples/network
    VENV/bin/python benches/compare/compare.py --network target/release/examples/network --wide
    VENV/bin/python benches/compare/compare.py --peak

What is measured, in milliseconds per window:

* `pytorch-forecasting eager`: `model(x)` in evaluation and inference mode, the whole batch at once.
* `the same in blocks`: a few windows of one length at a time, which keeps its temporaries in the caches.
* `folded torch`: `folded_network.py`, the same function with fewer and larger operations.
* `folded torch.compile`: that, compiled with frozen weights; the LSTMs stay torch's own.
* `ONNX Runtime, plain` and `folded`: on exports of the library's network and of the folded one.
* `this project`: the Rust program's own `forward_seconds`.

Scaling outputs back to units is left out everywhere. The folded networks and the graphs answer the quantiles
alone; eager and ours hand out attention and variable weights too, and ours is also measured without. The block size of each Python runtime is the
fastest of a few. Python runs with an allocator that keeps large blocks instead of returning them to the system
(the folded network on six wide windows at once: 15 ms per window instead of 35); the Rust program runs with the
system's defaults.

The windows are the reference set's, repeated with noise on what is a server's own: as in a real fleet the calendar
and the statistics of the fleet are the same for all, 20 of the 38 reals of set a. One in five of set a is shorter. `--full-windows` leaves short ones out. Graphs and files go to `--work`; exporting and
compiling take a few minutes the first time.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
GOLDEN_SET_A = HERE.parents[1] / "tft-core" / "tests" / "fixtures" / "golden" / "a"
TOLERANCE = 1e-3
# Short runs are repeated within a round until they take this long.
SECONDS_PER_TURN = 0.2
PEAK_SIZE = 2048
# Runs of each block size before the fastest is chosen.
TRIALS = 3
OURS = "this project"
ALLOCATOR = {
    "MALLOC_MMAP_THRESHOLD_": str(2**31 - 1),
    "MALLOC_TRIM_THRESHOLD_": str(2**32),
    "MALLOC_TOP_PAD_": str(2**26),
}


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", type=Path, help="the Rust program; without it only Python is measured")
    parser.add_argument("--path", default="engine", choices=("engine", "burn"), help="the Rust program's path")
    parser.add_argument("--model", type=Path, default=GOLDEN_SET_A, help="a dump with inputs, or a golden fixture")
    parser.add_argument("--wide", action="store_true", help="the 128-wide model with the structure of --model")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 20, 100], metavar="WINDOWS")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--full-windows", action="store_true", help="only windows of the longest encoder length")
    parser.add_argument("--no-compile", action="store_true", help="leave torch.compile out")
    parser.add_argument("--work", type=Path, default=HERE.parents[1] / "target" / "compare")
    parser.add_argument("--json", type=Path, help="also write the measurements here")
    parser.add_argument("--peak", action="store_true", help="only measure single-precision GFLOP/s")
    return parser.parse_args()


def restart_with(variables):
    """Starts this program again where its environment lacks variables that count only from the start."""
    if any(os.environ.get(name) != value for name, value in variables.items()):
        os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, **variables})


def cpu_model():
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def machine_facts(threads):
    import onnxruntime
    import pytorch_forecasting
    import torch

    return {
        "cpu": cpu_model(),
        "instructions": torch.backends.cpu.get_cpu_capability(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load at start": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "pytorch-forecasting": pytorch_forecasting.__version__,
        "onnxruntime": onnxruntime.__version__,
    }


def show_facts(facts):
    print(", ".join(f"{name} {value}" for name, value in facts.items()))


def measure_peak(threads, rounds):
    """Prints the GFLOP/s of a large matrix product, as a rough ceiling."""
    import torch

    a, b = torch.randn(PEAK_SIZE, PEAK_SIZE), torch.randn(PEAK_SIZE, PEAK_SIZE)
    seconds = [timed(lambda: a @ b) for _ in range(rounds + 1)][1:]
    rates = sorted(2 * PEAK_SIZE**3 / second / 1e9 for second in seconds)
    print(f"matmul {PEAK_SIZE}, f32, {threads} threads: median {statistics.median(rates):.0f} GFLOP/s, "
          f"best {rates[-1]:.0f}")


def timed(call):
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


class PythonTurn:
    """A Python runtime on a batch, with the fastest of its block sizes."""

    def __init__(self, runtime, batch):
        from runtimes import Job

        self.name, self.windows = runtime.name, len(batch["encoder_lengths"])
        sizes = [size for size in runtime.blocks if size is None or size <= self.windows]
        jobs = [Job(runtime, batch, size) for size in sizes]
        # The first run of a job compiles or exports.
        seconds = [min(timed(job.run) for _ in range(TRIALS)) for job in jobs]
        self.job = jobs[seconds.index(min(seconds))]
        self.count = max(1, round(SECONDS_PER_TURN / min(seconds)))
        self.note = "all" if self.job.block is None else str(self.job.block)

    def outputs(self):
        return self.job.outputs()

    def milliseconds(self):
        """One turn, after a pass that brings its weights back into the caches."""
        if self.count > 1:
            self.job.run()
        return 1e3 * timed(self.passes) / (self.count * self.windows)

    def passes(self):
        for _ in range(self.count):
            self.job.run()


class RustTurn:
    """The Rust program on a batch."""

    def __init__(self, program, batch):
        said = ", predictions only" if program.options else ""
        self.name, self.program = f"{OURS} ({program.path}{said})", program
        self.asked(program.prepare, batch)
        self.note = "tiled" if program.tiled else f"x{program.repeat}"

    def asked(self, call, *arguments):
        from rust_program import ProgramFailed

        try:
            return call(*arguments)
        except ProgramFailed as failure:
            raise SystemExit(f"{self.program.binary}: {failure}") from failure

    def outputs(self):
        self.asked(self.program.measured, 1)
        return self.program.outputs()

    def milliseconds(self):
        return 1e3 * self.asked(self.program.seconds_per_window)


def check(turn, expected):
    """Raises SystemExit where a runtime answers something else than the library; returns the worst difference."""
    answer = turn.outputs()
    if answer.shape != expected.shape:
        raise SystemExit(f"{turn.name} answers {tuple(answer.shape)}, expected {tuple(expected.shape)}")
    worst = float(((answer - expected).abs() / expected.abs().clamp(min=1.0)).max())
    if not worst <= TOLERANCE:
        raise SystemExit(f"{turn.name} is off by {worst:.2e}, more than {TOLERANCE:.0e}")
    return worst


def measure(runtimes, programs, batch, rounds):
    """One row per runtime, after all have been checked."""
    turns = [PythonTurn(runtime, batch) for runtime in runtimes]
    turns += [RustTurn(program, batch) for program in programs]
    expected = turns[0].outputs()
    errors = [check(turn, expected) for turn in turns]
    times = [[] for _ in turns]
    for _ in range(rounds):
        for turn, taken in zip(turns, times):
            taken.append(turn.milliseconds())
    rows = zip(turns, times, errors)
    return [dict(name=turn.name, block=turn.note, ms=taken, worst=error) for turn, taken, error in rows]


def show(windows, rows):
    """Prints the medians of a batch, and how many times as long as ours each takes."""
    medians = [statistics.median(row["ms"]) for row in rows]
    base = next((i for i, row in enumerate(rows) if row["name"].startswith(OURS)), 0)
    print(f"\n{windows} windows; ratios to `{rows[base]['name']}`")
    print("| runtime | block | ms per window | least - most | ratio | worst difference |\n|---|---|---|---|---|---|")
    for row, median in zip(rows, medians):
        spread = f"{min(row['ms']):.3f} - {max(row['ms']):.3f}"
        ratio = median / medians[base]
        print(f"| {row['name']} | {row['block']} | {median:.3f} | {spread} | {ratio:.2f} | {row['worst']:.1e} |")


def full_windows(inputs):
    """The inputs without windows that are shorter than the longest."""
    from tft_dump import window_axis

    lengths = inputs["encoder_lengths"]
    rows = (lengths == lengths.max()).nonzero().flatten()
    return {name: tensor.index_select(window_axis(name), rows) for name, tensor in inputs.items()}


def prepare_model(arguments):
    """The model's folder, its inputs and its shape."""
    from tft_dump import ensure_dump, read_hparams, read_inputs
    from wide_model import ensure_wide_model

    model = ensure_dump(arguments.model, arguments.work / "dump")
    folder = ensure_wide_model(arguments.work / "wide", model) if arguments.wide else model
    inputs = read_inputs(folder)
    return folder, full_windows(inputs) if arguments.full_windows else inputs, read_hparams(folder)


def compare(arguments, facts):
    from runtimes import python_runtimes
    from rust_program import RustProgram
    from tft_dump import make_batch

    folder, inputs, hparams = prepare_model(arguments)
    print(f"model {folder}, hidden size {hparams['hidden_size']}, {arguments.rounds} rounds")
    runtimes = python_runtimes(folder, arguments.work / "onnx", arguments.threads, not arguments.no_compile)
    programs = []
    if arguments.network:
        # Eager hands out attention and weights as ours does; the folded ones and the graphs do not.
        for name, options in [("explained", []), ("predictions", ["--predictions-only"])]:
            work = arguments.work / name
            programs.append(
                RustProgram(arguments.network, folder, work, arguments.threads, arguments.path, options)
            )
    results = {"machine": facts, "model": str(folder), "batches": {}}
    for windows in arguments.batches:
        rows = measure(runtimes, programs, make_batch(inputs, hparams, windows), arguments.rounds)
        show(windows, rows)
        results["batches"][windows] = rows
    print(f"load at end {os.getloadavg()[0]:.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1) + "\n")


def main():
    arguments = parse_arguments()
    restart_with({**ALLOCATOR, "OMP_NUM_THREADS": str(arguments.threads)})
    import warnings

    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(arguments.threads)
    facts = machine_facts(arguments.threads)
    show_facts(facts)
    if arguments.peak:
        measure_peak(arguments.threads, arguments.rounds)
    else:
        compare(arguments, facts)


if __name__ == "__main__":
    main()
