"""The network of pytorch-forecasting rewritten for inference: the same function, fewer and larger operations.

Owns what a careful user would do by hand to a trained model: batched per-variable networks instead of loops
over variables, adjacent affine maps multiplied into one when the module is built, tables instead of
embeddings, one product for all heads, the mean over heads before the values. It answers the output of the last
layer only, `[windows, decoder steps, sum of quantiles]`.

All windows of a call must have the same encoder length, and all decoder steps: group windows by length first.
Causal attention, one width for all reals that differs from the hidden size, and at least two variables in each
selection network are required; anything else is refused when the module is built. It has no loops, branches
on data or packed sequences, so that it can be exported and compiled.
"""

import torch
import torch.nn.functional as F
from torch import nn

EPS = 1e-5


def interpolation_matrix(inputs, outputs):
    """The constant matrix `[outputs, inputs]` by which the library resamples features."""
    if inputs == outputs:
        return torch.eye(inputs)
    unit = torch.eye(inputs).unsqueeze(1)
    return F.interpolate(unit, outputs, mode="linear", align_corners=True).squeeze(1).T.contiguous()


def merged_gate(grn):
    """The second layer and the gate's layer of a gated residual network as one weight and bias."""
    gate, second = grn.gate_norm.glu.fc, grn.fc2
    return gate.weight @ second.weight, gate.weight @ second.bias + gate.bias


def linear(weight, bias=None):
    """A layer with given weights."""
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    layer.weight.data = weight.detach().contiguous()
    if bias is not None:
        layer.bias.data = bias.detach().contiguous()
    return layer


def without_affine(x):
    return F.layer_norm(x, x.shape[-1:], eps=EPS)


class Constants(nn.Module):
    """A module that holds tensors which are computed once from trained weights."""

    def keep(self, **tensors):
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor.detach().contiguous())


class GateAddNorm(nn.Module):
    """A gate, a residual and a norm; the layers before the gate may be multiplied into it."""

    def __init__(self, weight, bias, norm):
        super().__init__()
        self.gate, self.norm = linear(weight, bias), norm

    def forward(self, x, skip):
        return self.norm(F.glu(self.gate(x), dim=-1) + skip)


class ResidualNetwork(nn.Module):
    """A gated residual network whose input and output have the same size; its context is an addend."""

    def __init__(self, grn):
        super().__init__()
        self.first = grn.fc1
        self.gate_norm = GateAddNorm(*merged_gate(grn), grn.gate_norm.add_norm.norm)

    def forward(self, x, addend=None):
        hidden = self.first(x)
        hidden = hidden if addend is None else hidden + addend
        return self.gate_norm(F.elu(hidden), x)


class RealVariables(Constants):
    """All real variables of a selection network at once: `[rows, reals]` to `[reals, rows, hidden]`, not normed.

    The prescaler is part of the first layer and of the residual. The residual is affine in the scalar, so its
    norm needs only the mean and the covariance of that map's coefficients.
    """

    def __init__(self, selection, names):
        super().__init__()
        grns = [selection.single_variable_grns[name] for name in names]
        prescalers = [selection.prescalers[name] for name in names]
        self.fold_first_layers(grns, prescalers)
        self.fold_residuals(grns, prescalers)
        gates = [merged_gate(grn) for grn in grns]
        self.keep(
            gate_weight=torch.stack([weight.T for weight, _ in gates]),
            gate_bias=torch.stack([bias for _, bias in gates]).unsqueeze(1),
        )

    def fold_first_layers(self, grns, prescalers):
        pairs = list(zip(grns, prescalers))
        slope = torch.stack([grn.fc1.weight @ scaler.weight[:, 0] for grn, scaler in pairs])
        offset = torch.stack([grn.fc1.weight @ scaler.bias + grn.fc1.bias for grn, scaler in pairs])
        self.keep(first_slope=slope.unsqueeze(1), first_offset=offset.unsqueeze(1))

    def fold_residuals(self, grns, prescalers):
        parts = [self.residual(grn.resample_norm, scaler) for grn, scaler in zip(grns, prescalers)]
        slope, offset, gain, shift = (torch.stack(tensors) for tensors in zip(*parts))
        slope, offset = (part - part.mean(dim=1, keepdim=True) for part in (slope, offset))
        moments = [(slope * slope), 2 * (slope * offset), (offset * offset)]
        square, cross, constant = (moment.mean(dim=1)[:, None, None] for moment in moments)
        self.keep(square=square, cross=cross, constant=constant + EPS)
        self.keep(
            skip_slope=(slope * gain).unsqueeze(1),
            skip_offset=(offset * gain).unsqueeze(1),
            skip_shift=shift.unsqueeze(1),
        )

    def residual(self, resample, prescaler):
        """The slope and offset of the resampled residual, and its norm's gain and shift."""
        matrix = interpolation_matrix(prescaler.out_features, resample.output_size)
        mask = 2 * torch.sigmoid(resample.mask)
        norm = resample.norm
        return mask * (matrix @ prescaler.weight[:, 0]), mask * (matrix @ prescaler.bias), norm.weight, norm.bias

    def forward(self, reals):
        x = reals.T.unsqueeze(-1)
        hidden = F.elu(x * self.first_slope + self.first_offset)
        gated = F.glu(torch.baddbmm(self.gate_bias, hidden, self.gate_weight), dim=-1)
        scale = torch.rsqrt((self.square * x + self.cross) * x + self.constant)
        return gated + (x * self.skip_slope + self.skip_offset) * scale + self.skip_shift


class SelectionWeights(Constants):
    """The softmax over variables: first layer and residual are one product with the scalars, plus table rows."""

    def __init__(self, selection, categoricals, reals, embeddings):
        super().__init__()
        grn = selection.flattened_grn
        resample = grn.resample_norm
        matrix = interpolation_matrix(grn.input_size, grn.output_size)
        combined = torch.cat([grn.fc1.weight, 2 * torch.sigmoid(resample.mask)[:, None] * matrix])
        offset = torch.cat([grn.fc1.bias, torch.zeros(grn.output_size)])
        self.hidden_size = grn.hidden_size
        self.fold_inputs(combined, offset, selection, categoricals, reals, embeddings)
        self.context = linear(grn.context.weight) if grn.context_size is not None else None
        self.residual_norm = resample.norm
        self.gate_norm = GateAddNorm(*merged_gate(grn), grn.gate_norm.add_norm.norm)

    def fold_inputs(self, combined, offset, selection, categoricals, reals, embeddings):
        sizes = [selection.input_sizes[name] for name in (*categoricals, *reals)]
        blocks = combined.split(sizes, dim=1)
        prescalers = [selection.prescalers[name] for name in reals]
        scaled = list(zip(blocks[len(categoricals) :], prescalers))
        columns = torch.stack([block @ prescaler.weight[:, 0] for block, prescaler in scaled], dim=1)
        self.inputs = linear(columns, offset + sum(block @ prescaler.bias for block, prescaler in scaled))
        for index, name in enumerate(categoricals):
            self.keep(**{f"table_{index}": embeddings[name].weight @ blocks[index].T})

    def forward(self, reals, codes, context):
        """`[windows, steps, variables]` of scalars and codes to weights of the same shape."""
        x = self.inputs(reals)
        for index in range(codes.shape[-1]):
            x = x + F.embedding(codes[..., index], getattr(self, f"table_{index}"))
        hidden, residual = x[..., : self.hidden_size], x[..., self.hidden_size :]
        if self.context is not None:
            hidden = hidden + self.context(context).unsqueeze(1)
        return torch.softmax(self.gate_norm(F.elu(hidden), self.residual_norm(residual)), dim=-1)


class VariableSelection(Constants):
    """A selection network over a few columns of the inputs: `[windows, steps, columns]` to the hidden size."""

    def __init__(self, selection, categoricals, reals, hparams, embeddings):
        super().__init__()
        column = lambda names, order: torch.tensor([order.index(name) for name in names], dtype=torch.int64)
        self.keep(real_columns=column(reals, hparams.x_reals))
        self.keep(code_columns=column(categoricals, hparams.x_categoricals))
        self.weights = SelectionWeights(selection, categoricals, reals, embeddings)
        self.reals = RealVariables(selection, reals)
        norms = [selection.single_variable_grns[name].gate_norm.add_norm.norm for name in reals]
        gain, shift = (torch.stack([getattr(norm, part) for norm in norms]) for part in ("weight", "bias"))
        self.keep(gain=gain.unsqueeze(1), shift=shift)
        for index, name in enumerate(categoricals):
            resample = selection.single_variable_grns[name]
            self.keep(**{f"table_{index}": resample(embeddings[name].weight)})

    def forward(self, cont, cat, context=None):
        reals, codes = cont.index_select(-1, self.real_columns), cat.index_select(-1, self.code_columns)
        weights = self.weights(reals, codes, context)
        categoricals = self.code_columns.shape[0]
        real_weights = weights[..., categoricals:].flatten(0, 1)
        values = without_affine(self.reals(reals.flatten(0, 1))) * self.gain
        selected = (values * real_weights.T.unsqueeze(-1)).sum(dim=0) + real_weights @ self.shift
        selected = selected.unflatten(0, weights.shape[:2])
        for index in range(categoricals):
            row = F.embedding(codes[..., index], getattr(self, f"table_{index}"))
            selected = selected + weights[..., index : index + 1] * row
        return selected


class StaticContexts(Constants):
    """The four networks on the static vector as one; the fourth goes through the enrichment's context layer."""

    def __init__(self, model):
        super().__init__()
        kinds = ("variable_selection", "initial_hidden_lstm", "initial_cell_lstm", "enrichment")
        grns = [getattr(model, f"static_context_{kind}") for kind in kinds]
        self.first = linear(torch.cat([grn.fc1.weight for grn in grns]), torch.cat([grn.fc1.bias for grn in grns]))
        gates = [merged_gate(grn) for grn in grns]
        norms = [grn.gate_norm.add_norm.norm for grn in grns]
        self.keep(
            gate_weight=torch.stack([weight.T for weight, _ in gates]),
            gate_bias=torch.stack([bias for _, bias in gates]).unsqueeze(1),
            gain=torch.stack([norm.weight for norm in norms]).unsqueeze(1),
            shift=torch.stack([norm.bias for norm in norms]).unsqueeze(1),
        )
        self.enrichment = linear(model.static_enrichment.context.weight)

    def forward(self, static):
        hidden = F.elu(self.first(static)).unflatten(-1, (4, -1)).transpose(0, 1)
        gated = F.glu(torch.baddbmm(self.gate_bias, hidden, self.gate_weight), dim=-1)
        contexts = without_affine(gated + static) * self.gain + self.shift
        return contexts[0], contexts[1], contexts[2], self.enrichment(contexts[3])


class Attention(Constants):
    """Queries of the decoder's steps against all steps but the last, which no query may see."""

    def __init__(self, attention, decoder_steps):
        super().__init__()
        self.heads, self.size = attention.n_head, attention.d_q
        scale = self.size**-0.5
        stack = lambda layers, part: torch.cat([getattr(layer, part) for layer in layers])
        query, key, value = attention.q_layers, attention.k_layers, attention.v_layer
        self.query = linear(scale * stack(query, "weight"), scale * stack(query, "bias"))
        self.key_value = linear(
            torch.cat([stack(key, "weight"), value.weight]), torch.cat([stack(key, "bias"), value.bias])
        )
        hidden = torch.triu(torch.ones(decoder_steps, decoder_steps - 1, dtype=torch.bool))
        self.keep(future=torch.zeros(decoder_steps, decoder_steps - 1).masked_fill(hidden, attention.mask_bias))

    def forward(self, past, future):
        """The attended values per query, `[windows, decoder steps, head size]`."""
        seen = torch.cat([past, future[:, :-1]], dim=1)
        keys, values = self.key_value(seen).split([self.heads * self.size, self.size], dim=-1)
        split = lambda x: x.unflatten(-1, (self.heads, self.size)).transpose(1, 2)
        scores = split(self.query(future)) @ split(keys).transpose(-1, -2)
        mask = F.pad(self.future, (past.shape[1], 0))
        return torch.softmax(scores + mask, dim=-1).mean(dim=1) @ values


class Selection(nn.Module):
    """From inputs to what the LSTM reads: the part before the recurrence."""

    def __init__(self, model):
        super().__init__()
        hparams, embeddings = model.hparams, model.input_embeddings.embeddings
        make = lambda kind, categoricals, reals: VariableSelection(
            getattr(model, f"{kind}_variable_selection"), list(categoricals), list(reals), hparams, embeddings
        )
        side = lambda kind: (hparams[f"time_varying_{part}_{kind}"] for part in ("categoricals", "reals"))
        self.static = make("static", hparams.static_categoricals, hparams.static_reals)
        self.encoder, self.decoder = make("encoder", *side("encoder")), make("decoder", *side("decoder"))
        self.contexts = StaticContexts(model)

    def forward(self, encoder_cont, encoder_cat, decoder_cont, decoder_cat):
        static = self.static(encoder_cont[:, :1], encoder_cat[:, :1])[:, 0]
        context, hidden, cell, enrichment = self.contexts(static)
        past = self.encoder(encoder_cont, encoder_cat, context)
        return past, self.decoder(decoder_cont, decoder_cat, context), hidden, cell, enrichment


class Recurrence(nn.Module):
    """The two LSTMs, without the packing that windows of different lengths would need."""

    def __init__(self, model):
        super().__init__()
        self.layers = model.lstm_encoder.num_layers
        self.encoder, self.decoder = plain_lstm(model.lstm_encoder), plain_lstm(model.lstm_decoder)

    def forward(self, past, future, hidden, cell):
        start = [state.unsqueeze(0).repeat(self.layers, 1, 1) for state in (hidden, cell)]
        past, state = self.encoder(past, (start[0], start[1]))
        return past, self.decoder(future, state)[0]


def plain_lstm(lstm):
    """The library's LSTM as torch's own."""
    plain = nn.LSTM(lstm.input_size, lstm.hidden_size, lstm.num_layers, batch_first=True)
    plain.load_state_dict(lstm.state_dict())
    return plain


class Decoding(nn.Module):
    """From what the LSTM answers to the output of the last layer: the part after the recurrence."""

    def __init__(self, model, decoder_steps):
        super().__init__()
        gate = model.post_lstm_gate_encoder.fc
        self.after_lstm = GateAddNorm(gate.weight, gate.bias, model.post_lstm_add_norm_encoder.norm)
        self.enrichment = ResidualNetwork(model.static_enrichment)
        self.attention = Attention(model.multihead_attn, decoder_steps)
        gate, norm = model.post_attn_gate_norm.glu.fc, model.post_attn_gate_norm.add_norm.norm
        self.after_attention = GateAddNorm(gate.weight @ model.multihead_attn.w_h.weight, gate.bias, norm)
        self.feed_forward = ResidualNetwork(model.pos_wise_ff)
        last = model.pre_output_gate_norm
        self.before_output = GateAddNorm(last.glu.fc.weight, last.glu.fc.bias, last.add_norm.norm)
        outputs = list(model.output_layer) if model.n_targets > 1 else [model.output_layer]
        stack = lambda part: torch.cat([getattr(layer, part) for layer in outputs])
        self.output = linear(stack("weight"), stack("bias"))

    def forward(self, past, future, past_skip, future_skip, enrichment):
        past, future = self.after_lstm(past, past_skip), self.after_lstm(future, future_skip)
        context = enrichment.unsqueeze(1)
        enriched = self.enrichment(future, context)
        attended = self.attention(self.enrichment(past, context), enriched)
        y = self.feed_forward(self.after_attention(attended, enriched))
        return self.output(self.before_output(y, future))


class FoldedNetwork(nn.Module):
    """The whole network on windows of one length."""

    def __init__(self, model, decoder_steps):
        super().__init__()
        refuse_what_does_not_fold(model.hparams)
        with torch.no_grad():
            self.select, self.recur = Selection(model), Recurrence(model)
            self.decode = Decoding(model, decoder_steps)

    def forward(self, encoder_cont, encoder_cat, decoder_cont, decoder_cat):
        past, future, hidden, cell, enrichment = self.select(encoder_cont, encoder_cat, decoder_cont, decoder_cat)
        past_recurred, future_recurred = self.recur(past, future, hidden, cell)
        return self.decode(past_recurred, future_recurred, past, future, enrichment)


def refuse_what_does_not_fold(hparams):
    """Raises ValueError, naming what this rewriting leaves out."""
    checks = {
        "shared variable networks": hparams.share_single_variable_networks,
        "grouped categoricals": bool(hparams.categorical_groups),
        "reals of different widths": bool(hparams.hidden_continuous_sizes),
        "reals as wide as the hidden size": hparams.hidden_continuous_size == hparams.hidden_size,
        "attention that is not causal": not hparams.causal_attention,
        "fewer than two variables in a selection network": min(selection_sizes(hparams)) < 2,
        "a selection network without reals": min(selection_sizes(hparams, ("reals",))) < 1,
    }
    found = [name for name, is_present in checks.items() if is_present]
    if found:
        raise ValueError(f"the folded network does not support {', '.join(found)}")


def selection_sizes(hparams, kinds=("categoricals", "reals")):
    names = lambda side, kind: f"static_{kind}" if side == "static" else f"time_varying_{kind}_{side}"
    return [
        sum(len(hparams[names(side, kind)]) for kind in kinds) for side in ("static", "encoder", "decoder")
    ]
