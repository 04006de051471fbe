"""From external scores to causal attention logits: the part of the model that layers share."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from llmattn.model.channels import mix_channels
from llmattn.model.config import ModelConfig

__all__ = ["LLMAttention", "distance_logits"]


def distance_logits(bias: Tensor, rows: int, length: int) -> Tensor:
    """The causal matrix of a distance bias.

    ``bias``: ``(H, block_size)``. Returns the last ``rows`` rows of the ``(H, length, length)``
    matrix whose entry ``[h, i, j]`` is ``bias[h, i - j]``, and -inf for j > i.
    """
    band = bias[:, :length].flip(1)
    band = nn.functional.pad(band, (0, rows - 1), value=float("-inf"))
    return band.unfold(1, length, 1).flip(1)


class LLMAttention(nn.Module):
    """Mixes the channels of external scores into causal attention, for all layers at once.

    ``Z[h, i, j] = sum_k tau[h, k] * S[k, i, j] + b[h, i - j]`` for j <= i, else -inf; the
    weights are ``softmax_j(Z)``. The scores S are given; tau and b are learned. The scale of
    scores in [0, 1] must be learned: with tau = 1 the largest weight of a row is at most e
    times the smallest. With ``config.per_layer`` there are as many tau and b as layers (a first
    dimension more), and ``layer`` chooses among them.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        channels = len(config.channels)
        layers = (config.n_layer,) if config.per_layer else ()
        # `pure` starts as LLM-Computing's softmax of the mean score, the others as a plain mean.
        if config.attention == "pure":
            self.tau = nn.Parameter(torch.full((1, channels), 1.0 / channels))
        elif config.uses_scores:
            self.tau = nn.Parameter(torch.zeros(*layers, config.n_head, channels))
        if config.uses_distance:
            shape = (*layers, config.n_head, config.block_size)
            self.distance_bias = nn.Parameter(torch.zeros(shape))

    def logits(
        self, scores: Tensor | None, rows: int, length: int, like: Tensor, layer: int = 0
    ) -> Tensor:
        """Z, the last ``rows`` rows: ``(B or 1, H or 1, rows, length)``.

        ``scores``: ``(B, C, rows, length)``. ``like`` gives dtype and device.
        """
        flat = like.new_zeros(1, length)
        bias = self._of(layer, self.distance_bias) if self.config.uses_distance else flat
        z = distance_logits(bias, rows, length)[None]
        if not self.config.uses_scores:
            return z
        if scores is None:
            raise ValueError(f"{self.config.attention} attention needs scores")
        return mix_channels(self._of(layer, self.tau), scores) + z

    def forward(
        self, scores: Tensor | None, rows: int, length: int, like: Tensor, layer: int = 0
    ) -> Tensor:
        """The weights, the last ``rows`` rows; each row is at least 0 and sums to 1."""
        return torch.softmax(self.logits(scores, rows, length, like, layer), dim=-1)

    def _of(self, layer: int, parameter: Tensor) -> Tensor:
        return parameter[layer] if self.config.per_layer else parameter
