"""Scores of batches out of packed triangles."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from attrs import evolve, frozen
from numpy.typing import NDArray
from torch import Tensor

from llmattn.data.batches import Batch
from llmattn.errors import ConfigError
from llmattn.feeds.packed import PackedScores

__all__ = ["PackedFeed"]


@frozen(eq=False)
class PackedFeed:
    """The scores of a split's pieces, by their numbers.

    ``channels``: what the model calls those of ``packed``. ``order``: whose scores each piece
    gets, or None for its own.
    """

    packed: PackedScores
    channels: tuple[str, ...]
    order: NDArray[np.int64] | None = None

    def scores(self, batch: Batch) -> Tensor:
        """``(B, C, T, T)``, float16 or uint8; 0 where a piece has ended, and above the diagonal."""
        size, length = batch.ids.shape
        chosen = batch.pieces if self.order is None else self.order[batch.pieces]
        # A triangle of fewer rows is the beginning of one of more.
        shape = size, len(self.channels), length * (length + 1) // 2
        rows: NDArray[Any] = np.zeros(shape, self.packed.dtype)
        for place, (piece, source) in enumerate(zip(batch.pieces, chosen, strict=True)):
            own, other = self.packed.lengths[piece], self.packed.lengths[source]
            count = int(min(own, other, length))
            end = count * (count + 1) // 2
            rows[place, :, :end] = self.packed.triangle(int(source))[:, :end]
        square: NDArray[Any] = np.zeros((*shape[:2], length, length), self.packed.dtype)
        start = 0
        for row in range(length):
            square[:, :, row, : row + 1] = rows[:, :, start : start + row + 1]
            start += row + 1
        return torch.from_numpy(square).to(batch.ids.device)

    def shuffled(self, seed: int) -> PackedFeed:
        """The control: each piece gets the scores of another one, as long as itself.

        Where no other has its length, it gets the beginning of a longer one's. The longest of
        all, if it is alone, gets another's, and 0 in the rows which that one lacks. Raises
        ConfigError for a split of one piece.
        """
        return evolve(self, order=_other_pieces(self.packed.lengths, seed))


def _other_pieces(lengths: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    if len(lengths) < 2:
        raise ConfigError("Scores of other windows need a text of more than one window.")
    random = np.random.default_rng(seed)
    order = np.empty(len(lengths), np.int64)
    for length in np.unique(lengths):
        alike = random.permutation(np.flatnonzero(lengths == length))
        if len(alike) > 1:
            order[alike] = np.roll(alike, 1)
            continue
        longer = np.flatnonzero(lengths > length)
        others = longer if len(longer) else np.flatnonzero(lengths < length)
        order[alike] = random.choice(others)
    return order
