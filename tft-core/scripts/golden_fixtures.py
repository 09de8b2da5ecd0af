#!/usr/bin/env python3
"""Turns golden sets made with pytorch-forecasting into test fixtures.

A golden set is a folder with `hparams.json`, `dataset_parameters.json`, `model.safetensors`,
`inputs*.safetensors`, `outputs*.safetensors`, `raw_rows.parquet` and, in some sets, what the modules of the
network returned for the first window alone (`intermediates_sample0.safetensors`). The fixture holds a model
directory as `Model::from_dir` reads it, the raw rows, and those tensors that tests compare: double-precision
duplicates and encoder targets are left out to keep the repository small. The model directory has a `model.json`
or, for sets named after `--dumped`, the parameter files as they are.
Of the intermediates, those that other tensors repeat are left out; if the rest is larger than
INTERMEDIATES_BYTES_MAX, every STEPS_APART-th time step is kept.

    python3 golden_fixtures.py GOLDEN_ROOT FIXTURE_ROOT [--dumped NAME ...]
"""

import argparse
import hashlib
import json
import shutil
from pathlib import Path

from safetensors.numpy import load_file, save_file

LEFT_OUT = ("prediction_f64", "network_output_f64", "encoder_target", "decoder_target", "groups")
INTERMEDIATES_BYTES_MAX = 200_000
STEPS_APART = 8
# The outputs file has the first two, the embedding tables the last.
INTERMEDIATES_LEFT_OUT = ("network_output", "multihead_attn.1", "input_embeddings.")
ARCHITECTURE_LEFT_OUT = ("format", "dropout", "n_targets", "output_size", "embedding_paddings")


def model_json(source: Path, name: str) -> dict:
    hparams = json.loads((source / "hparams.json").read_text())
    dataset = json.loads((source / "dataset_parameters.json").read_text())
    weights = (source / "model.safetensors").read_bytes()
    return {
        "format_version": 1,
        "id": f"golden-{name}",
        "step_ms": 300_000,
        "weights_sha256": hashlib.sha256(weights).hexdigest(),
        "architecture": {k: v for k, v in hparams.items() if k not in ARCHITECTURE_LEFT_OUT},
        "encoding": {"kind": "pytorch_forecasting", **{k: v for k, v in dataset.items() if k != "format"}},
    }


def intermediates(source: Path) -> dict:
    tensors = load_file(source)
    kept = {k: v for k, v in tensors.items() if not k.startswith(INTERMEDIATES_LEFT_OUT)}
    if sum(v.nbytes for v in kept.values()) <= INTERMEDIATES_BYTES_MAX:
        return kept
    # Time is the second of three or more axes.
    return {k: v[:, ::STEPS_APART].copy() if v.ndim > 2 else v for k, v in kept.items()}


def write_model(source: Path, target: Path, is_dumped: bool) -> None:
    target.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source / "model.safetensors", target / "model.safetensors")
    if is_dumped:
        for name in ("hparams.json", "dataset_parameters.json"):
            shutil.copyfile(source / name, target / name)
    else:
        document = model_json(source, source.name)
        (target / "model.json").write_text(json.dumps(document, indent=1) + "\n")


def convert(source: Path, target: Path, is_dumped: bool) -> None:
    write_model(source, target / "model", is_dumped)
    shutil.copyfile(source / "raw_rows.parquet", target / "rows.parquet")
    for tensors in sorted([*source.glob("*puts*.safetensors"), *source.glob("interpretation.safetensors")]):
        kept = {k: v for k, v in load_file(tensors).items() if not k.startswith(LEFT_OUT)}
        save_file(kept, target / tensors.name)
    if (source / "intermediates_sample0.safetensors").exists():
        kept = intermediates(source / "intermediates_sample0.safetensors")
        save_file(kept, target / "intermediates.safetensors")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("golden_root", type=Path)
    parser.add_argument("fixture_root", type=Path)
    parser.add_argument("--dumped", nargs="*", default=[], help="sets whose parameter files are kept as they are")
    arguments = parser.parse_args()
    for source in sorted(path for path in arguments.golden_root.iterdir() if (path / "hparams.json").exists()):
        convert(source, arguments.fixture_root / source.name, source.name in arguments.dumped)


if __name__ == "__main__":
    main()
