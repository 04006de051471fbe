"""Padded batches of pieces, in an order that follows from the seed and the step alone."""

from __future__ import annotations

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor

from llmattn.data.corpus import Pieces, Split

__all__ = ["IGNORED", "Batch", "BatchOrder", "collate", "sorted_batches"]

IGNORED = -100
"""Target of a padded position; cross_entropy leaves it out."""

_POOL = 8  # batches whose pieces are sorted by length together


@frozen(eq=False)
class Batch:
    """``ids`` and ``targets``: int64 ``(B, T)``; padded targets are IGNORED.

    ``pieces``: the numbers of the pieces in their split, ``(B,)``.
    """

    ids: Tensor
    targets: Tensor
    pieces: NDArray[np.int64]


class BatchOrder:
    """Which pieces form the batch of a step.

    Each epoch shuffles the pieces, sorts them by length within pools of a few batches (short
    beside short saves padding), and shuffles the batches. Nothing is remembered, so a resumed
    run draws what an unbroken one would have drawn.
    """

    def __init__(self, pieces: Pieces, *, batch_size: int, seed: int) -> None:
        self._lengths = pieces.lengths
        self._batch_size = min(batch_size, len(pieces))
        self._seed = seed
        self.batches_per_epoch = -(-len(pieces) // self._batch_size)
        self._epoch = -1
        self._batches: list[NDArray[np.int64]] = []

    def batch(self, index: int) -> NDArray[np.int64]:
        """The pieces of batch ``index``, counted from the start of training."""
        epoch, place = divmod(index, self.batches_per_epoch)
        if epoch != self._epoch:
            self._batches = self._arrange(epoch)
            self._epoch = epoch
        return self._batches[place]

    def _arrange(self, epoch: int) -> list[NDArray[np.int64]]:
        random = np.random.default_rng((self._seed, epoch))
        order = random.permutation(len(self._lengths))
        pool = self._batch_size * _POOL
        batches = []
        for start in range(0, len(order), pool):
            members = order[start : start + pool]
            members = members[np.argsort(self._lengths[members], kind="stable")]
            cuts = range(self._batch_size, len(members), self._batch_size)
            batches.extend(np.split(members, cuts))
        return [batches[place] for place in random.permutation(len(batches))]


def sorted_batches(pieces: Pieces, tokens: int) -> list[NDArray[np.int64]]:
    """All pieces in batches of at most ``tokens`` padded tokens, shortest first."""
    order = np.argsort(pieces.lengths, kind="stable")
    batches: list[NDArray[np.int64]] = []
    start = 0
    for end in range(1, len(order) + 1):
        longest = pieces.lengths[order[min(end, len(order) - 1)]]
        if end == len(order) or (end + 1 - start) * longest > tokens:
            batches.append(order[start:end])
            start = end
    return batches


def collate(
    split: Split,
    pieces: Pieces,
    chosen: NDArray[np.int64],
    *,
    pad_id: int,
    device: torch.device | str = "cpu",
) -> Batch:
    """The chosen pieces as one batch, padded on the right to the longest."""
    starts, lengths = pieces.starts[chosen, None], pieces.lengths[chosen, None]
    steps = np.arange(int(lengths.max()))[None, :]
    inside = steps < lengths
    place = np.where(inside, starts + steps, 0)
    ids = np.where(inside, split.ids[place], pad_id).astype(np.int64)
    targets = np.where(inside, split.ids[np.where(inside, place + 1, 0)], IGNORED).astype(np.int64)
    return Batch(torch.from_numpy(ids).to(device), torch.from_numpy(targets).to(device), chosen)
