"""Exports the library's network and the folded one to ONNX, one graph per encoder length.

Owns the changes that the library's network needs for that: windows of one length have no padding, so its
packed sequences give way to plain LSTMs and its mask to a constant. Both graphs take `encoder_cont`,
`encoder_cat`, `decoder_cont` and `decoder_cat` of any number of windows, and answer
`[windows, decoder steps, sum of quantiles]`.
"""

import contextlib
import copy
import io
import logging
import warnings

import torch
from torch import nn

from folded_network import plain_lstm
from tft_dump import INPUTS

TENSORS = INPUTS[:4]
WINDOWS_MAX = 4096


class FullLengths:
    """Stands in for the lengths of windows that all have the longest one."""

    def __init__(self, steps):
        self.steps = steps

    def max(self):
        return self.steps


class UnpackedLstm(nn.Module):
    """An LSTM that takes the library's arguments and ignores the lengths."""

    def __init__(self, lstm):
        super().__init__()
        self.lstm = plain_lstm(lstm)

    def forward(self, x, state, lengths=None, enforce_sorted=None):
        return self.lstm(x, tuple(part.contiguous() for part in state))


class PlainNetwork(nn.Module):
    """The library's own forward pass on windows of one length."""

    def __init__(self, model, encoder_steps, decoder_steps):
        super().__init__()
        self.model = copy.deepcopy(model)
        self.encoder, self.decoder = FullLengths(encoder_steps), FullLengths(decoder_steps)
        self.model.lstm_encoder = UnpackedLstm(model.lstm_encoder)
        self.model.lstm_decoder = UnpackedLstm(model.lstm_decoder)
        future = torch.ones(decoder_steps, decoder_steps, dtype=torch.bool).triu()
        past = torch.zeros(decoder_steps, encoder_steps, dtype=torch.bool)
        mask = torch.cat([past, future], dim=1).unsqueeze(0)
        self.model.get_attention_mask = lambda **lengths: mask
        self.model.transform_output = lambda prediction, target_scale=None: prediction

    def forward(self, encoder_cont, encoder_cat, decoder_cont, decoder_cat):
        x = dict(zip(TENSORS, (encoder_cont, encoder_cat, decoder_cont, decoder_cat)))
        lengths = {"encoder_lengths": self.encoder, "decoder_lengths": self.decoder, "target_scale": None}
        prediction = self.model({**x, **lengths})["prediction"]
        return torch.cat(prediction, dim=-1) if isinstance(prediction, list) else prediction


def export(network, example, path):
    """Writes a graph for as many windows as one likes; the example needs at least two."""
    windows = torch.export.Dim("windows", min=1, max=WINDOWS_MAX)
    shapes = {name: {0: windows} for name in TENSORS}
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            tuple(example[name] for name in TENSORS),
            str(path),
            dynamo=True,
            external_data=False,
            input_names=list(TENSORS),
            output_names=["network_output"],
            dynamic_shapes=shapes,
        )
