"""Scored pairs of ids as sorted arrays: what a score table is made from, and grows by."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

__all__ = ["CodedPairs", "KnownPairs", "join_channels"]


@frozen(eq=False)
class KnownPairs:
    """Scored pairs of ids, sorted by query, then key; ``scores`` is ``(C, N)``, NaN where a
    channel has none.
    """

    query_ids: NDArray[np.int32]
    key_ids: NDArray[np.int32]
    scores: NDArray[np.float16]

    @classmethod
    def of(
        cls, query_ids: NDArray[Any], key_ids: NDArray[Any], scores: NDArray[np.float16]
    ) -> KnownPairs:
        """Pairs in any order, each once, put in order."""
        order = np.lexsort((key_ids, query_ids))
        query, key = query_ids[order].astype(np.int32), key_ids[order].astype(np.int32)
        return cls(query, key, np.ascontiguousarray(scores[:, order]))

    def among(
        self, query_ids: NDArray[np.int32], key_ids: NDArray[np.int32], vocab_size: int
    ) -> KnownPairs:
        """Those that are also among the given pairs, which are sorted in the same way."""
        wanted = query_ids.astype(np.int64) * vocab_size + key_ids
        here = np.isin(self.codes(vocab_size), wanted, assume_unique=True)
        return KnownPairs(
            self.query_ids[here], self.key_ids[here], np.ascontiguousarray(self.scores[:, here])
        )

    def codes(self, vocab_size: int) -> NDArray[np.int64]:
        """One number a pair, ``query * vocab_size + key``, rising."""
        return self.query_ids.astype(np.int64) * vocab_size + self.key_ids


def join_channels(parts: Sequence[KnownPairs], vocab_size: int) -> KnownPairs:
    """The pairs of several providers over each other, their channels one after another."""
    if len(parts) == 1:
        return parts[0]
    codes = [part.codes(vocab_size) for part in parts]
    union = np.unique(np.concatenate(codes))
    scores = []
    for part, own in zip(parts, codes, strict=True):
        spread = np.full((len(part.scores), len(union)), np.nan, np.float16)
        spread[:, np.searchsorted(union, own)] = part.scores
        scores.append(spread)
    query, key = np.divmod(union, vocab_size)
    return KnownPairs(query.astype(np.int32), key.astype(np.int32), np.concatenate(scores))


@frozen(eq=False)
class CodedPairs:
    """Pairs as one number each, ``query * vocab_size + key``, rising; ``scores`` is ``(C, N)``."""

    codes: NDArray[np.int64]
    scores: NDArray[np.float16]

    @classmethod
    def none(cls, channels: int) -> CodedPairs:
        """No pair at all."""
        return cls(np.empty(0, np.int64), np.empty((channels, 0), np.float16))

    def __len__(self) -> int:
        return len(self.codes)

    def find(self, codes: NDArray[np.int64]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
        """Which of ``codes`` are here, and where; the places of the others mean nothing."""
        if not len(self.codes):
            return np.zeros(codes.shape, np.bool_), np.zeros(codes.shape, np.int64)
        where = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return self.codes[where] == codes, where

    def update(self, newer: CodedPairs) -> CodedPairs:
        """These and ``newer``, whose scores stand where both have a pair."""
        there, where = self.find(newer.codes)
        scores = self.scores.copy()
        scores[:, where[there]] = newer.scores[:, there]
        fresh = ~there
        places = np.searchsorted(self.codes, newer.codes[fresh])
        return CodedPairs(
            np.insert(self.codes, places, newer.codes[fresh]),
            np.insert(scores, places, newer.scores[:, fresh], axis=1),
        )
