"""What decoding keeps of the tokens so far."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from llmattn.model.config import ModelConfig

__all__ = ["KVCache"]


class KVCache:
    """The values of each layer's tokens, and their keys if there are any, for ``batch`` texts of up
    to ``block_size`` tokens.

    The room is allocated once: appending a token copies that token alone. No gradient flows
    through it.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch: int,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        kinds = 2 if config.uses_query_key else 1
        width = config.n_embd // config.n_head
        shape = (batch, config.n_head, config.block_size, width)
        self._rooms = [
            [torch.empty(shape, device=device, dtype=dtype) for _ in range(kinds)]
            for _ in range(config.n_layer)
        ]
        self._places: Tensor | None = None
        several = batch >= 4  # for fewer texts, the product is as fast
        if several and torch.device(device).type == "cpu" and dtype == torch.float32:
            places = torch.arange(batch * config.n_head * config.block_size, dtype=torch.int32)
            self._places = places.view(-1, config.block_size)
            self._flat = self._starts = places[:0]
        self.length = 0
        """How many tokens there are. A model counts them when all of its layers have theirs."""

    def extend(self, layer: int, new: Sequence[Tensor]) -> list[Tensor]:
        """Append n tokens to a layer: their values, and keys if any, ``(B, H, n, d)`` each.

        Returns those of all tokens so far, ``(B, H, length + n, d)`` each.
        """
        end = self.length + new[0].shape[2]
        rooms = self._rooms[layer]
        for room, part in zip(rooms, new, strict=True):
            room[:, :, self.length : end] = part.detach()
        return [room[:, :, :end] for room in rooms]

    def mix(self, layer: int, weights: Tensor) -> Tensor:
        """``weights @ values`` of a layer, ``(B, H, n, d)``; ``weights``: ``(B or 1, H or 1, n,
        T)``, for the layer's first T tokens.
        """
        values = self._rooms[layer][0]
        batch, heads, _, width = values.shape
        rows, length = weights.shape[2:]
        weights = weights.to(values.dtype).expand(batch, heads, -1, -1)
        if rows > 1 or self._places is None:
            return weights @ values[:, :, :length]
        # A weighted sum of rows, read in order: two to three times as fast as the product.
        if layer == 0:  # the other layers' values lie in the same places
            self._flat = self._places[:, :length].flatten()
            self._starts = torch.arange(0, len(self._flat), length, dtype=torch.int32)
        mixed = F.embedding_bag(
            self._flat,
            values.view(-1, width),
            self._starts,
            per_sample_weights=weights.flatten(),
            mode="sum",
        )
        return mixed.view(batch, heads, 1, width)
