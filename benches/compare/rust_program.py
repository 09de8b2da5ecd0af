"""Runs the Rust program `network` on a batch and takes its own measure of the forward pass.

Owns the program's command line and its files. It prints `forward_seconds`, without reading, writing or
loading; with `--repeat N` that is expected to be the sum over N passes through the file, which is checked once.
A program without `--repeat` gets small batches repeated in the file instead, with noise: then it may run more
windows at a time than the batch has, and `tiled` says so.
"""

import os
import re
import subprocess
from pathlib import Path

import torch
from safetensors.torch import load_file

from tft_dump import make_batch, read_hparams, save_inputs

# The program prints milliseconds, so it has to run for many of them.
SECONDS_WANTED = 0.3
WINDOWS_WANTED = 40
REPEAT_MAX = 2000
REPEAT_PROBES = (5, 50)
# The measuring process tunes its allocator and thread pools for torch; the program runs as users run it.
FOREIGN_VARIABLES = ("MALLOC_", "OMP_", "KMP_", "MKL_")


class ProgramFailed(Exception):
    """The program ended with an error; the message is the program's."""


class RustProgram:
    """The program on one model, with files in a work folder."""

    def __init__(self, binary, model, work, threads, path, options=()):
        self.binary, self.model, self.work, self.threads = Path(binary), Path(model), Path(work), threads
        self.options = list(options)
        self.work.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.can_repeat = None

    def prepare(self, batch):
        """Writes a batch, and finds out how often the program has to run it."""
        self.batch_windows = len(batch["encoder_lengths"])
        self.save(batch)
        self.repeat, self.tiled = 1, False
        if self.can_repeat is None:
            self.can_repeat = self.probe_repeat()
        if self.can_repeat:
            seconds = self.measured(REPEAT_PROBES[0]) / REPEAT_PROBES[0]
            self.repeat = max(1, min(REPEAT_MAX, round(SECONDS_WANTED / max(seconds, 1e-6))))
        elif self.batch_windows < WINDOWS_WANTED:
            self.tiled = True
            copies = -(-WINDOWS_WANTED // self.batch_windows)
            self.save(make_batch(batch, read_hparams(self.model), copies * self.batch_windows))

    def save(self, batch):
        self.file_windows = len(batch["encoder_lengths"])
        save_inputs(batch, self.work / "inputs.safetensors")

    def probe_repeat(self):
        """Whether `--repeat` exists; raises ProgramFailed where its seconds are not the sum."""
        try:
            few, many = (self.measured(repeat) for repeat in REPEAT_PROBES)
        except ProgramFailed as failure:
            if "unknown argument" in str(failure):
                return False
            raise
        if many < few * REPEAT_PROBES[1] / REPEAT_PROBES[0] / 3:
            raise ProgramFailed(f"forward_seconds does not grow with --repeat: {few} s, then {many} s")
        return True

    def seconds_per_window(self):
        return self.measured(self.repeat) / (self.repeat * self.file_windows)

    def measured(self, repeat):
        """The seconds of the forward pass that the program prints."""
        arguments = [self.binary, "--model", self.model, "--inputs", self.work / "inputs.safetensors"]
        arguments += ["--out", self.work / "outputs.safetensors", "--threads", self.threads, "--path", self.path]
        arguments += ["--repeat", repeat] if repeat > 1 else []
        arguments += self.options
        done = subprocess.run([str(part) for part in arguments], capture_output=True, text=True, env=environment())
        if done.returncode != 0:
            raise ProgramFailed(done.stderr.strip())
        return float(re.search(r"forward_seconds ([0-9.eE+-]+)", done.stdout).group(1))

    def outputs(self):
        """What the last run answered for the batch, `[windows, decoder steps, quantiles]`."""
        tensors = load_file(self.work / "outputs.safetensors")
        if "network_output" in tensors:
            targets = list(tensors["network_output"])
        else:
            count = sum(name.startswith("network_output.") for name in tensors)
            targets = [tensors[f"network_output.{target}"] for target in range(count)]
        return torch.cat(targets, dim=-1)[: self.batch_windows]


def environment():
    return {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN_VARIABLES)}
