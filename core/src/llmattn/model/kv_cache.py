"""What decoding keeps of the tokens so far."""

from __future__ import annotations

import torch
from torch import Tensor

from llmattn.model.config import ModelConfig

__all__ = ["KVCache"]


class KVCache:
    """The values of each layer's tokens, and their keys if there are any, for ``batch`` texts of up
    to ``block_size`` tokens.

    The room is allocated once: appending a token copies that token alone.
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
        shape = (config.n_layer, kinds, batch, config.n_head, config.block_size, width)
        self._room = torch.empty(shape, device=device, dtype=dtype)
        self.length = 0
        """How many tokens there are. A model counts them when all of its layers have theirs."""

    def extend(self, layer: int, new: Tensor) -> Tensor:
        """Append ``new`` to a layer, ``(1 or 2, B, H, n, d)``: values, and keys if any.

        Returns those of all tokens so far, ``(1 or 2, B, H, length + n, d)``.
        """
        end = self.length + new.shape[3]
        room = self._room[layer]
        room[:, :, :, self.length : end] = new
        return room[:, :, :, :end]
