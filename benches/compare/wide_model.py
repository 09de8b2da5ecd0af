#!/usr/bin/env python3
"""Makes the 128-wide model of the comparison: the structure of a reference set, larger sizes, random weights.

Owns the sizes and the seed. Variables, encoders, scalers and windows are those of the set it starts from
(golden set a: 39 encoder, 30 static and 5 decoder variables, 14 targets with 7 quantiles, 288 + 96
steps). The folder holds `hparams.json`, `dataset_parameters.json`, `model.safetensors` and
`inputs.safetensors`, as the Rust side reads them. The same seed gives the same folder.

    python3 wide_model.py OUT BASE
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from tft_dump import SEED, build_network, read_hparams

SCRIPTS = Path(__file__).resolve().parents[2] / "tft-core" / "scripts"
sys.path.insert(0, str(SCRIPTS))
from generate_reference import save_json  # noqa: E402
from pytorch_forecasting_document import state_tensors  # noqa: E402

SIZES = {"hidden_size": 128, "hidden_continuous_size": 64, "attention_head_size": 8, "lstm_layers": 1}
# Enough to move every weight off its initial 0 or 1; more would saturate gates and softmaxes.
WEIGHT_NOISE = 0.05
COPIED = ("dataset_parameters.json", "inputs.safetensors")


def wide_hparams(base):
    return {**read_hparams(base), **SIZES}


def random_network(hparams):
    torch.manual_seed(SEED)
    model = build_network(hparams)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(WEIGHT_NOISE * torch.randn_like(weight))
    return model


def write_wide_model(folder, base):
    """Writes the model's folder."""
    folder.mkdir(parents=True, exist_ok=True)
    hparams = wide_hparams(base)
    save_file(state_tensors(random_network(hparams)), folder / "model.safetensors")
    save_json(hparams, folder / "hparams.json")
    for name in COPIED:
        shutil.copyfile(Path(base) / name, folder / name)


def ensure_wide_model(folder, base):
    """Writes the model's folder unless it is already there with the same sizes."""
    folder, wanted = Path(folder), wide_hparams(base)
    present = folder / "hparams.json"
    if not (present.exists() and json.loads(present.read_text()) == wanted):
        write_wide_model(folder, base)
    return folder


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("base", type=Path, help="a dump whose variables the model takes over")
    arguments = parser.parse_args()
    write_wide_model(arguments.out, arguments.base)


if __name__ == "__main__":
    main()
