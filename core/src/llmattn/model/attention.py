"""From external scores to causal attention logits: the part of the model that layers share."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from llmattn.model.channels import mix_channels
from llmattn.model.config import ModelConfig
from llmattn.model.mixing import SharedMix, distance_logits, mix_own

__all__ = ["LLMAttention"]


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
        tau, bias = self._learned(length, like, layer)
        z = distance_logits(bias, rows, length)[None]
        return z if tau is None else mix_channels(tau, self._given(scores)) + z

    def forward(
        self, scores: Tensor | None, rows: int, length: int, like: Tensor, layer: int = 0
    ) -> Tensor:
        """The weights, the last ``rows`` rows; each row is at least 0 and sums to 1."""
        return torch.softmax(self.logits(scores, rows, length, like, layer), dim=-1)

    def mixes(
        self, scores: Tensor | None, length: int, like: Tensor, dtype: torch.dtype
    ) -> list[Callable[[Tensor], Tensor]]:
        """For each layer ``weights @ values`` of whole texts, ``(B, T, width)`` -> the same.

        ``scores``: ``(B, C, T, T)``. ``dtype`` is that of the values. In value and gradient the
        same as with the weights of :meth:`forward`, but faster and in less memory.
        """
        layers = range(self.config.n_layer)
        given = self._given(scores) if self.config.uses_scores else None
        if self.config.per_layer:
            return [
                partial(mix_own, *self._learned(length, like, layer), given) for layer in layers
            ]
        shared = SharedMix(*self._learned(length, like), given, length, dtype)
        return [shared for _ in layers]

    def _learned(self, length: int, like: Tensor, layer: int = 0) -> tuple[Tensor | None, Tensor]:
        """A layer's tau, if there is one, and its distance bias, if need be of zeros."""
        own = layer if self.config.per_layer else slice(None)
        tau = self.tau[own] if self.config.uses_scores else None
        if self.config.uses_distance:
            return tau, self.distance_bias[own]
        return tau, like.new_zeros(1 if tau is None else len(tau), length)

    def _given(self, scores: Tensor | None) -> Tensor:
        if scores is None:
            raise ValueError(f"{self.config.attention} attention needs scores")
        return scores
