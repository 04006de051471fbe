"""The attention weights of a trained model, layer by layer, for any of its variants."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from llmattn.model.attention import mix_values, split_heads
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
    like = model.token_embedding.weight
    # Values that are the unit matrix are mixed into the weights themselves.
    unit = torch.eye(length, dtype=like.dtype, device=like.device)
    values = unit.expand(size, config.n_head, -1, -1)
    projected = _projected(model, ids, scores) if config.uses_query_key else []
    given = model.attention(scores, length, length, like)
    for layer, own in zip(range(shown_layers(config)), given, strict=False):
        others = split_heads(projected[layer], config)[1:] if projected else []
        yield mix_values(own, values, *others).transpose(1, 2)


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
