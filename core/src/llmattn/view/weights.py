"""The attention weights of a trained model, layer by layer, for any of its variants."""

from __future__ import annotations

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from llmattn.model.attn_gpt import AttnGPT
from llmattn.model.config import ModelConfig

__all__ = ["layer_weights", "shown_layers"]


def shown_layers(config: ModelConfig) -> int:
    """How many layers have weights of their own; 1 if all share the same."""
    return config.n_layer if config.per_layer or config.uses_query_key else 1


@torch.no_grad()
def layer_weights(model: AttnGPT, ids: Tensor, scores: Tensor | None) -> Iterator[Tensor]:
    """The weights of each of :func:`shown_layers`, ``(B, H, T, T)``; rows sum to 1.

    ``ids``: ``(B, T)``. ``scores``: ``(B, C, T, T)``, or None if the variant needs none.
    """
    config = model.config
    size, length = ids.shape
    projected = _projected(model, ids, scores) if config.uses_query_key else []
    like = model.token_embedding.weight
    for layer in range(shown_layers(config)):
        logits = model.attention.logits(scores, length, length, like, layer)
        if config.uses_query_key:
            logits = logits + _products(projected[layer], config)
        yield logits.softmax(dim=-1).expand(size, config.n_head, -1, -1)


def _projected(model: AttnGPT, ids: Tensor, scores: Tensor | None) -> list[Tensor]:
    """Values, keys and queries of each layer, side by side, ``(B, T, 3 * width)``."""
    found: list[Tensor] = []
    hooks = [
        block.get_submodule("project_in").register_forward_hook(
            lambda _module, _given, result: found.append(result)
        )
        for block in model.blocks
    ]
    try:
        model.hidden(ids, scores)
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _products(projected: Tensor, config: ModelConfig) -> Tensor:
    """Queries times keys, scaled, ``(B, H, T, T)``."""
    size, length, _ = projected.shape
    width = config.n_embd // config.n_head
    parts = projected.view(size, length, 3, config.n_head, width).permute(2, 0, 3, 1, 4)
    return torch.matmul(parts[2], parts[1].transpose(-1, -2)) / math.sqrt(width)
