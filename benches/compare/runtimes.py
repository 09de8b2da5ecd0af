"""The Python runtimes of the comparison: the library's eager forward pass and what can be made of it.

Owns how each of them takes a block of windows, and how a batch is cut into blocks. Cutting happens before
anything is timed, as it does for the Rust program. Blocks hold windows of one encoder length and are trimmed to
it, except where the library gets the whole batch, padded, as its users pass it.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import onnxruntime
import torch

from folded_network import FoldedNetwork
from onnx_export import TENSORS, PlainNetwork, export
from tft_dump import load_network, make_batch, network_inputs, read_hparams, read_inputs, select

COMPILE_LIMIT = 64
EXPORT_WINDOWS = 3


@dataclass
class Runtime:
    """A way to run the network; `forward` takes a block and answers `[windows, decoder steps, quantiles]`."""

    name: str
    forward: object
    # Windows per block to choose from; None is the whole batch as it is.
    blocks: tuple
    # What a block is turned into before it is timed.
    convert: object = dict


class Job:
    """A batch cut into blocks for a runtime."""

    def __init__(self, runtime, batch, block):
        self.runtime, self.block = runtime, block
        self.windows = len(batch["encoder_lengths"])
        self.rows = cut(batch["encoder_lengths"], block)
        self.inputs = [runtime.convert(trimmed(select(batch, rows))) for rows in self.rows]

    def run(self):
        """The outputs of all blocks, in the order of the blocks."""
        with torch.inference_mode():
            return [self.runtime.forward(block) for block in self.inputs]

    def outputs(self):
        """The outputs in the order of the batch."""
        ordered = torch.cat([torch.as_tensor(part) for part in self.run()])
        return torch.empty_like(ordered).index_copy_(0, torch.cat(self.rows), ordered)


def cut(lengths, block):
    """The windows of each block. What does not fill a block runs one by one, so that few shapes occur."""
    if block is None:
        return [torch.arange(len(lengths))]
    cuts = []
    for length in lengths.unique(sorted=True):
        rows = torch.nonzero(lengths == length).flatten()
        full = len(rows) // block * block
        cuts += [part for part in (*rows[:full].split(block), *rows[full:].split(1)) if len(part) > 0]
    return cuts


def trimmed(block):
    """A block without the steps that pad all of its windows."""
    steps = int(block["encoder_lengths"].max())
    past = {name: block[name][:, :steps].contiguous() for name in ("encoder_cont", "encoder_cat")}
    return {**block, **past}


def eager(model):
    """The library's forward pass."""

    def forward(block):
        prediction = model({**block, "target_scale": None})["prediction"]
        return torch.cat(prediction, dim=-1) if isinstance(prediction, list) else prediction

    return forward


def positional(network):
    return lambda block: network(*(block[name] for name in TENSORS))


def compiled(network, threads):
    """The folded network under torch.compile, except for the LSTMs, which it can not fuse."""
    import torch._inductor.config as inductor

    torch._dynamo.config.recompile_limit = COMPILE_LIMIT
    inductor.freezing = True
    inductor.cpp.threads = threads
    network.select = torch.compile(network.select, dynamic=False)
    network.decode = torch.compile(network.decode, dynamic=False)
    # Constants fold only where no gradient can be asked for.
    return positional(torch.no_grad()(network))


class OnnxNetwork:
    """ONNX Runtime on the graphs of a network, each exported when its encoder length first comes up."""

    def __init__(self, kind, folder, cache, threads):
        self.kind, self.folder, self.cache, self.threads = kind, Path(folder), Path(cache), threads
        self.sessions = {}

    def __call__(self, block):
        return self.session(block["encoder_cont"].shape[1]).run(None, block)[0]

    def session(self, steps):
        if steps not in self.sessions:
            self.sessions[steps] = onnxruntime.InferenceSession(
                str(self.graph(steps)), self.options(), providers=["CPUExecutionProvider"]
            )
        return self.sessions[steps]

    def options(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = self.threads, 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        return options

    def graph(self, steps):
        """The path of a graph, which a former run may have left."""
        digest = hashlib.sha256((self.folder / "model.safetensors").read_bytes())
        digest.update((self.folder / "hparams.json").read_bytes())
        path = self.cache / f"{self.kind}-{steps}-{digest.hexdigest()[:16]}.onnx"
        if not path.exists():
            self.cache.mkdir(parents=True, exist_ok=True)
            example, partial = self.example(steps), path.with_suffix(".partial")
            export(self.network(steps, example["decoder_cont"].shape[1]), example, partial)
            partial.rename(path)
        return path

    def example(self, steps):
        batch = make_batch(read_inputs(self.folder), read_hparams(self.folder), EXPORT_WINDOWS)
        return {**batch, **{name: batch[name][:, :steps] for name in ("encoder_cont", "encoder_cat")}}

    def network(self, steps, decoder_steps):
        model = load_network(self.folder)
        if self.kind == "folded":
            return FoldedNetwork(model, decoder_steps)
        return PlainNetwork(model, steps, decoder_steps)


def arrays(block):
    return {name: block[name].numpy() for name in TENSORS}


def folded(folder):
    decoder_steps = read_inputs(folder)["decoder_cont"].shape[1]
    return FoldedNetwork(load_network(folder), decoder_steps).eval().requires_grad_(False)


def python_runtimes(folder, cache, threads, with_compile):
    """All runtimes, the library's own first."""
    model = load_network(folder)
    found = [
        Runtime("pytorch-forecasting eager", eager(model), (None,), network_inputs),
        Runtime("the same in blocks", eager(model), (1, 4, 20), network_inputs),
        Runtime("folded torch", positional(folded(folder)), (1, 4, 20)),
        Runtime("ONNX Runtime, plain", OnnxNetwork("plain", folder, cache, threads), (1, 4, 20), arrays),
        Runtime("ONNX Runtime, folded", OnnxNetwork("folded", folder, cache, threads), (1, 4, 20), arrays),
    ]
    if with_compile:
        # Two shapes per length, each of which takes a compilation.
        found.insert(3, Runtime("folded torch.compile", compiled(folded(folder), threads), (1, 4)))
    return found
