"""The Temporal Fusion Transformer of pytorch-forecasting, written for fast pooled training.

The per-variable networks of a selection network are stacked in batched parameters and run as a few
large operations; affine maps with nothing non-linear between them are multiplied first. In
evaluation mode the output equals pytorch-forecasting's TemporalFusionTransformer, and
`state_dict_of_pytorch_forecasting` writes its parameter names. All windows have the full encoder
length, so there is no padding.
"""

import math

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from .encoding import (
    DECODER_STEPS, ENCODER_STEPS, KNOWN_REALS, STATIC_CATEGORICALS, STATIC_REALS, UNKNOWN_REALS, X_REALS,
)

QUANTILES = [0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98]
KIND_COUNT, KIND_SIZE = 3, 3  # classes and embedding size: round(1.6 * 3 ** 0.56) = 3
LAYER_NORM_EPS = 1e-5
MASK_BIAS = -1e9


def interpolation(inputs, outputs):
    """Matrix [outputs, inputs] of linear interpolation over features, align_corners=True."""
    matrix = torch.zeros(outputs, inputs)
    for k in range(outputs):
        position = k * (inputs - 1) / (outputs - 1) if outputs > 1 else 0.0
        low = int(math.floor(position))
        high = min(low + 1, inputs - 1)
        matrix[k, low] += 1.0 - (position - low)
        matrix[k, high] += position - low
    return matrix


def normalised(x):
    """Layer normalisation over the last axis without its affine part."""
    return functional.layer_norm(x, x.shape[-1:], eps=LAYER_NORM_EPS)


def glu(z):
    """Gated linear unit: first half the value, second half the gate."""
    value, gate = z.chunk(2, dim=-1)
    return value * torch.sigmoid(gate)


class GateAddNorm(nn.Module):
    """LayerNorm(GLU(x) + skip)."""

    def __init__(self, inputs, outputs, dropout):
        super().__init__()
        self.dropout = nn.Dropout(dropout)
        self.fc = nn.Linear(inputs, 2 * outputs)
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x, skip):
        return self.norm(glu(self.fc(self.dropout(x))) + skip)

    def export(self, prefix, gate="glu.", norm="add_norm."):
        yield from linear(f"{prefix}.{gate}fc", self.fc)
        yield from linear(f"{prefix}.{norm}norm", self.norm)


class ResampleNorm(nn.Module):
    """LayerNorm(interpolated x * 2 sigmoid(mask))."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.register_buffer("matrix", interpolation(inputs, outputs), persistent=False)
        self.mask = nn.Parameter(torch.zeros(outputs))
        self.norm = nn.LayerNorm(outputs)

    def forward(self, x):
        return self.norm((x @ self.matrix.T) * (2.0 * torch.sigmoid(self.mask)))

    def export(self, prefix):
        yield f"{prefix}.mask", self.mask
        yield from linear(f"{prefix}.norm", self.norm)


class GatedResidualNetwork(nn.Module):
    """fc1 (+ context) -> ELU -> fc2 -> gate, add, norm."""

    def __init__(self, inputs, hidden, outputs, dropout, context=None):
        super().__init__()
        self.resample = ResampleNorm(inputs, outputs) if inputs != outputs else None
        self.fc1, self.fc2 = nn.Linear(inputs, hidden), nn.Linear(hidden, hidden)
        self.context = nn.Linear(context, hidden, bias=False) if context else None
        self.gate = GateAddNorm(hidden, outputs, dropout)
        nn.init.kaiming_normal_(self.fc1.weight)
        nn.init.xavier_uniform_(self.fc2.weight)

    def forward(self, x, context=None):
        skip = x if self.resample is None else self.resample(x)
        h = self.fc1(x)
        if self.context is not None:
            h = h + self.context(context)
        return self.gate(self.fc2(functional.elu(h)), skip)

    def export(self, prefix):
        yield from linear(f"{prefix}.fc1", self.fc1)
        yield from linear(f"{prefix}.fc2", self.fc2)
        if self.context is not None:
            yield f"{prefix}.context.weight", self.context.weight
        if self.resample is not None:
            yield from self.resample.export(f"{prefix}.resample_norm")
        yield from self.gate.export(f"{prefix}.gate_norm")


def linear(prefix, layer):
    """Weight and bias of a layer under their exported names."""
    yield f"{prefix}.weight", layer.weight
    if layer.bias is not None:
        yield f"{prefix}.bias", layer.bias


class Prescalers(nn.Module):
    """The affine maps of single reals to c features, stacked: weight and bias [n, c]."""

    def __init__(self, names, size):
        super().__init__()
        self.names = names
        self.weight = nn.Parameter(torch.empty(len(names), size).uniform_(-1.0, 1.0))
        self.bias = nn.Parameter(torch.empty(len(names), size).uniform_(-1.0, 1.0))

    def export(self):
        for k, name in enumerate(self.names):
            yield f"prescalers.{name}.weight", self.weight[k][:, None]
            yield f"prescalers.{name}.bias", self.bias[k]


class RealNetworks(nn.Module):
    """The gated residual networks of n reals (c -> c -> H), as functions of one scalar each."""

    def __init__(self, prescalers, count, size, hidden):
        super().__init__()
        self.prescalers, self.count, self.names = [prescalers], count, prescalers.names[:count]
        self.register_buffer("matrix", interpolation(size, hidden), persistent=False)
        bound = 1.0 / math.sqrt(size)
        self.fc1_weight = nn.Parameter(torch.randn(count, size, size) * math.sqrt(2.0 / size))
        self.fc1_bias = nn.Parameter(torch.zeros(count, size))
        self.fc2_weight = nn.Parameter(torch.empty(count, size, size).uniform_(-1.7 * bound, 1.7 * bound))
        self.fc2_bias = nn.Parameter(torch.zeros(count, size))
        self.glu_weight = nn.Parameter(torch.empty(count, 2 * hidden, size).uniform_(-bound, bound))
        self.glu_bias = nn.Parameter(torch.zeros(count, 2 * hidden))
        self.norm_weight = nn.Parameter(torch.ones(count, hidden))
        self.norm_bias = nn.Parameter(torch.zeros(count, hidden))
        self.mask = nn.Parameter(torch.zeros(count, hidden))
        self.skip_weight = nn.Parameter(torch.ones(count, hidden))
        self.skip_bias = nn.Parameter(torch.zeros(count, hidden))

    def embedding(self):
        """Prescaler weight and bias [n, c] of these reals."""
        source = self.prescalers[0]
        return source.weight[: self.count], source.bias[: self.count]

    def skip(self, x):
        """LayerNorm of an affine function of the scalar: its moments are polynomials in x."""
        weight, bias = self.embedding()
        mask = 2.0 * torch.sigmoid(self.mask)
        slope, offset = (weight @ self.matrix.T) * mask, (bias @ self.matrix.T) * mask
        slope = slope - slope.mean(dim=1, keepdim=True)
        offset = offset - offset.mean(dim=1, keepdim=True)
        square, cross, rest = (m.mean(dim=1)[:, None] for m in (slope * slope, slope * offset, offset * offset))
        inverse = torch.rsqrt(square * x * x + 2.0 * cross * x + rest + LAYER_NORM_EPS)
        # x * inverse and inverse times two constant vectors: one small matrix product
        coordinates = torch.stack([x * inverse, inverse, torch.ones_like(x)], dim=2)
        basis = torch.stack([slope * self.skip_weight, offset * self.skip_weight, self.skip_bias], dim=1)
        return coordinates, basis

    def forward(self, x):
        """x [n, M] -> normalised outputs [n, M, H], before their affine part."""
        weight, bias = self.embedding()
        slope = torch.einsum("ndc,nc->nd", self.fc1_weight, weight)
        offset = torch.einsum("ndc,nc->nd", self.fc1_weight, bias) + self.fc1_bias
        h = functional.elu(x[:, :, None] * slope[:, None] + offset[:, None])
        gate_weight = self.glu_weight @ self.fc2_weight
        gate_bias = torch.einsum("ndc,nc->nd", self.glu_weight, self.fc2_bias) + self.glu_bias
        z = torch.baddbmm(gate_bias[:, None], h, gate_weight.transpose(1, 2))
        coordinates, basis = self.skip(x)
        return normalised(torch.baddbmm(glu(z), coordinates, basis))

    def export(self, prefix):
        for k, name in enumerate(self.names):
            p = f"{prefix}.single_variable_grns.{name}"
            yield f"{p}.fc1.weight", self.fc1_weight[k]
            yield f"{p}.fc1.bias", self.fc1_bias[k]
            yield f"{p}.fc2.weight", self.fc2_weight[k]
            yield f"{p}.fc2.bias", self.fc2_bias[k]
            yield f"{p}.gate_norm.glu.fc.weight", self.glu_weight[k]
            yield f"{p}.gate_norm.glu.fc.bias", self.glu_bias[k]
            yield f"{p}.gate_norm.add_norm.norm.weight", self.norm_weight[k]
            yield f"{p}.gate_norm.add_norm.norm.bias", self.norm_bias[k]
            yield f"{p}.resample_norm.mask", self.mask[k]
            yield f"{p}.resample_norm.norm.weight", self.skip_weight[k]
            yield f"{p}.resample_norm.norm.bias", self.skip_bias[k]


class VariableSelection(nn.Module):
    """Softmax-weighted sum of the variables' networks; at most one leading categorical."""

    def __init__(self, prescalers, count, size, hidden, dropout, category=None, context=None):
        super().__init__()
        self.reals = RealNetworks(prescalers, count, size, hidden)
        self.category, self.category_norm = category, None
        inputs, variables = count * size, count
        if category is not None:
            self.category_norm = ResampleNorm(KIND_SIZE, hidden)
            inputs, variables = inputs + KIND_SIZE, variables + 1
        self.flattened = GatedResidualNetwork(inputs, min(hidden, variables), variables, dropout, context)

    def forward(self, x, category=None, context=None):
        """x [M.., n], category [M.., e], context [M.., H] broadcastable -> [M.., H]."""
        weight, bias = self.reals.embedding()
        flat = (x[..., None] * weight + bias).flatten(-2)
        if category is not None:
            flat = torch.cat([category, flat], dim=-1)
        weights = torch.softmax(self.flattened(flat, context), dim=-1)
        real_weights = weights if category is None else weights[..., 1:]
        rows = x.reshape(-1, x.shape[-1])
        outputs = self.reals(rows.T)  # [n, M, H]
        w = real_weights.reshape(rows.shape)
        total = (outputs * (w.T[:, :, None] * self.reals.norm_weight[:, None])).sum(dim=0)
        total = (total + w @ self.reals.norm_bias).reshape(*x.shape[:-1], -1)
        if category is not None:
            total = total + weights[..., :1] * self.category_norm(category)
        return total

    def export(self, prefix):
        yield from self.flattened.export(f"{prefix}.flattened_grn")
        yield from self.reals.export(prefix)
        if self.category_norm is not None:
            yield from self.category_norm.export(f"{prefix}.single_variable_grns.{self.category}")


class Attention(nn.Module):
    """Interpretable multi-head attention: heads share one value projection, their weights are averaged."""

    def __init__(self, hidden, heads):
        super().__init__()
        self.heads, self.size = heads, hidden // heads
        self.query, self.key = nn.Linear(hidden, hidden), nn.Linear(hidden, hidden)
        self.value = nn.Linear(hidden, self.size)
        self.output = nn.Linear(self.size, hidden, bias=False)
        for layer in (self.query, self.key, self.value, self.output):
            nn.init.xavier_uniform_(layer.weight)
        steps = torch.arange(ENCODER_STEPS + DECODER_STEPS) - ENCODER_STEPS
        masked = steps[None] >= torch.arange(DECODER_STEPS)[:, None]
        self.register_buffer("mask", masked.float() * MASK_BIAS, persistent=False)

    def split(self, x):
        return x.reshape(len(x), -1, self.heads, self.size).transpose(1, 2)

    def forward(self, queries, keys):
        q, k = self.split(self.query(queries)), self.split(self.key(keys))
        scores = (q / math.sqrt(self.size)) @ k.transpose(2, 3) + self.mask
        weights = torch.softmax(scores, dim=-1).mean(dim=1)
        return self.output(weights @ self.value(keys))

    def export(self, prefix):
        yield from linear(f"{prefix}.v_layer", self.value)
        for name, layer in (("q", self.query), ("k", self.key)):
            for head in range(self.heads):
                rows = slice(head * self.size, (head + 1) * self.size)
                yield f"{prefix}.{name}_layers.{head}.weight", layer.weight[rows]
                yield f"{prefix}.{name}_layers.{head}.bias", layer.bias[rows]
        yield f"{prefix}.w_h.weight", self.output.weight


class Network(nn.Module):
    """The whole network: windows in, residual quantiles [B, 96, 7] in units of the scale out."""

    def __init__(self, hidden=32, heads=4, size=8, dropout=0.1):
        super().__init__()
        self.sizes = {"hidden": hidden, "heads": heads, "size": size, "dropout": dropout}
        temporal = KNOWN_REALS + UNKNOWN_REALS
        self.kind = nn.Embedding(KIND_COUNT, KIND_SIZE)
        self.static_prescalers = Prescalers(STATIC_REALS, size)
        self.temporal_prescalers = Prescalers(temporal, size)
        self.static_selection = VariableSelection(
            self.static_prescalers, len(STATIC_REALS), size, hidden, dropout, STATIC_CATEGORICALS[0])
        self.encoder_selection = VariableSelection(
            self.temporal_prescalers, len(temporal), size, hidden, dropout, context=hidden)
        self.decoder_selection = VariableSelection(
            self.temporal_prescalers, len(KNOWN_REALS), size, hidden, dropout, context=hidden)
        contexts = ("variable_selection", "initial_hidden_lstm", "initial_cell_lstm", "enrichment")
        self.contexts = nn.ModuleDict(
            {name: GatedResidualNetwork(hidden, hidden, hidden, dropout) for name in contexts})
        self.lstm_encoder = nn.LSTM(hidden, hidden, batch_first=True)
        self.lstm_decoder = nn.LSTM(hidden, hidden, batch_first=True)
        self.post_lstm = GateAddNorm(hidden, hidden, dropout)
        self.enrichment = GatedResidualNetwork(hidden, hidden, hidden, dropout, context=hidden)
        self.attention = Attention(hidden, heads)
        self.post_attention = GateAddNorm(hidden, hidden, dropout)
        self.feed_forward = GatedResidualNetwork(hidden, hidden, hidden, dropout)
        self.pre_output = GateAddNorm(hidden, hidden, 0.0)
        self.output = nn.Linear(hidden, len(QUANTILES))
        nn.init.uniform_(self.output.weight, -0.05, 0.05)
        with torch.no_grad():
            self.output.bias.copy_(torch.tensor([-2.0, -0.8, -0.3, 0.0, 0.3, 0.8, 2.0]))

    def forward(self, statics, kind, encoder, decoder):
        """statics [B, 6], kind [B], encoder [B, 48, 10], decoder [B, 96, 9] -> [B, 96, 7]."""
        static = self.static_selection(statics, category=self.kind(kind))
        context = {name: network(static) for name, network in self.contexts.items()}
        selection = context["variable_selection"][:, None]
        encoded = self.encoder_selection(encoder, context=selection)
        decoded = self.decoder_selection(decoder, context=selection)
        state = tuple(context[f"initial_{part}_lstm"][None] for part in ("hidden", "cell"))
        encoder_out, state = self.lstm_encoder(encoded, state)
        decoder_out, _ = self.lstm_decoder(decoded, state)
        temporal = self.post_lstm(
            torch.cat([encoder_out, decoder_out], dim=1), torch.cat([encoded, decoded], dim=1))
        enriched = self.enrichment(temporal, context["enrichment"][:, None])
        future = enriched[:, ENCODER_STEPS:]
        y = self.post_attention(self.attention(future, enriched), future)
        y = self.pre_output(self.feed_forward(y), temporal[:, ENCODER_STEPS:])
        return self.output(y)


def tensors_of(encoded):
    """The network's inputs from the arrays of `encoding.encode`."""
    statics, known = len(STATIC_REALS), len(STATIC_REALS) + len(KNOWN_REALS)
    encoder, decoder = encoded["encoder_cont"], encoded["decoder_cont"]
    return (
        torch.from_numpy(np.ascontiguousarray(encoder[:, 0, :statics])),
        torch.from_numpy(encoded["encoder_cat"][:, 0, 0].copy()),
        torch.from_numpy(np.ascontiguousarray(encoder[:, :, statics:])),
        torch.from_numpy(np.ascontiguousarray(decoder[:, :, statics:known])),
    )


def state_dict_of_pytorch_forecasting(network):
    """Parameters under pytorch-forecasting's names, each once (see ALIASES)."""
    def pairs():
        yield f"input_embeddings.embeddings.{STATIC_CATEGORICALS[0]}.weight", network.kind.weight
        yield from network.static_prescalers.export()
        yield from network.temporal_prescalers.export()
        for part in ("static", "encoder", "decoder"):
            yield from getattr(network, f"{part}_selection").export(f"{part}_variable_selection")
        for name, context in network.contexts.items():
            yield from context.export(f"static_context_{name}")
        for part in ("lstm_encoder", "lstm_decoder"):
            for name, parameter in getattr(network, part).named_parameters():
                yield f"{part}.{name}", parameter
        yield from network.post_lstm.export("post_lstm", gate="gate_encoder.", norm="add_norm_encoder.")
        yield from network.enrichment.export("static_enrichment")
        yield from network.attention.export("multihead_attn")
        yield from network.post_attention.export("post_attn_gate_norm")
        yield from network.feed_forward.export("pos_wise_ff")
        yield from network.pre_output.export("pre_output_gate_norm")
        yield from linear("output_layer", network.output)

    def rename(name):
        return name.replace("post_lstm.gate", "post_lstm_gate").replace("post_lstm.add", "post_lstm_add")

    return {rename(name): tensor.detach().clone().contiguous() for name, tensor in pairs()}


def with_aliases(state):
    """Adds the names under which pytorch-forecasting repeats shared parameters."""
    full = dict(state)
    temporal = {"encoder": KNOWN_REALS + UNKNOWN_REALS, "decoder": KNOWN_REALS, "static": STATIC_REALS}
    for name, tensor in state.items():
        parts = name.split(".")
        if parts[0] == "prescalers":
            for part, names in temporal.items():
                if parts[1] in names:
                    full[f"{part}_variable_selection.{name}"] = tensor
        for shared in ("post_lstm_gate", "post_lstm_add_norm"):
            if parts[0] == f"{shared}_encoder":
                full[name.replace("_encoder", "_decoder", 1)] = tensor
    return full


def architecture(network):
    """The shape of the network as `model.json` describes it."""
    sizes = network.sizes
    return {
        "hidden_size": sizes["hidden"],
        "lstm_layers": 1,
        "attention_head_size": sizes["heads"],
        "quantiles": [QUANTILES],
        "hidden_continuous_size": sizes["size"],
        "hidden_continuous_sizes": {},
        "max_encoder_length": ENCODER_STEPS,
        "mask_bias": MASK_BIAS,
        "causal_attention": True,
        "static_categoricals": STATIC_CATEGORICALS,
        "static_reals": STATIC_REALS,
        "time_varying_categoricals_encoder": [],
        "time_varying_categoricals_decoder": [],
        "time_varying_reals_encoder": KNOWN_REALS + UNKNOWN_REALS,
        "time_varying_reals_decoder": KNOWN_REALS,
        "x_reals": X_REALS,
        "x_categoricals": STATIC_CATEGORICALS,
        "embedding_sizes": {STATIC_CATEGORICALS[0]: [KIND_COUNT, KIND_SIZE]},
        "layer_norm_eps": LAYER_NORM_EPS,
    }
