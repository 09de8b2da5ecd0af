"""Comparison of the network with pytorch-forecasting's TemporalFusionTransformer."""

import torch

from .encoding import DECODER_STEPS, ENCODER_STEPS
from .network import architecture, state_dict_of_pytorch_forecasting, tensors_of, with_aliases


def reference_network(network):
    """pytorch-forecasting's network holding the same parameters, loaded with strict=True."""
    from pytorch_forecasting import TemporalFusionTransformer
    from pytorch_forecasting.metrics import QuantileLoss

    h = architecture(network)
    reference = TemporalFusionTransformer(
        hidden_size=h["hidden_size"], lstm_layers=1, dropout=0.0,
        output_size=len(h["quantiles"][0]), loss=QuantileLoss(h["quantiles"][0]),
        attention_head_size=h["attention_head_size"], max_encoder_length=h["max_encoder_length"],
        static_categoricals=h["static_categoricals"], static_reals=h["static_reals"],
        time_varying_categoricals_encoder=[], time_varying_categoricals_decoder=[],
        time_varying_reals_encoder=h["time_varying_reals_encoder"],
        time_varying_reals_decoder=h["time_varying_reals_decoder"],
        x_reals=h["x_reals"], x_categoricals=h["x_categoricals"],
        hidden_continuous_size=h["hidden_continuous_size"],
        embedding_sizes={k: tuple(v) for k, v in h["embedding_sizes"].items()},
        embedding_paddings=[], embedding_labels={}, categorical_groups={},
        causal_attention=h["causal_attention"], mask_bias=h["mask_bias"],
    )
    reference.load_state_dict(with_aliases(state_dict_of_pytorch_forecasting(network)), strict=True)
    reference.output_transformer = lambda output: output["prediction"]  # keep the network's own units
    return reference.eval()


def largest_difference(network, encoded):
    """Largest absolute difference of the two networks' outputs on encoded windows."""
    reference = reference_network(network)
    batch = len(encoded["encoder_cont"])
    inputs = {name: torch.from_numpy(encoded[name].copy()) for name in
              ("encoder_cont", "decoder_cont", "encoder_cat", "decoder_cat")}
    inputs |= {
        "encoder_lengths": torch.full((batch,), ENCODER_STEPS),
        "decoder_lengths": torch.full((batch,), DECODER_STEPS),
        "target_scale": torch.tensor([[0.0, 1.0]]).repeat(batch, 1),
        "decoder_target": torch.zeros(batch, DECODER_STEPS),
    }
    with torch.no_grad():
        expected = reference(inputs)["prediction"]
        actual = network.eval()(*tensors_of(encoded))
    return float((expected - actual).abs().max())
