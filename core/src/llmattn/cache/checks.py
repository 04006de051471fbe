"""What is put into a cache, checked once for all backends: shapes, range, and what NaN means."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llmattn.identity import Identity
from llmattn.rows import Row, Scope, Scores

__all__ = [
    "Half",
    "checked_halves",
    "has_positions",
    "key_counts",
    "nothing_known",
    "where_positions",
]

Half = NDArray[np.float16]
"""Scores as caches keep them, shape ``(N, C)``: 11 bits, more than any provider's scale."""


def has_positions(identity: Identity, row: Row) -> bool:
    """Whether the keys of ``row`` are the positions of a text (PREFIX scope), not just words.

    Raises ValueError for a row without context under PREFIX scope whose keys are not its query.
    """
    if row.context:
        return True
    if identity.scope is not Scope.PREFIX:
        return False
    if row.keys != (row.query,):
        raise ValueError(
            f"{identity.provider} has PREFIX scope: the first token of a text has itself as its "
            f"only key, but the row of {row.query!r} without context has {len(row.keys)} keys"
        )
    return True


def key_counts(rows: Sequence[Row]) -> NDArray[np.int64]:
    """How many keys each of R rows has, whole numbers of shape ``(R,)``."""
    return np.fromiter(map(len, [row.keys for row in rows]), np.int64, len(rows))


def where_positions(identity: Identity, rows: Sequence[Row]) -> NDArray[np.bool_]:
    """:func:`has_positions` of all rows, ``(R,)``."""
    if identity.scope is Scope.PREFIX:
        return np.fromiter((has_positions(identity, row) for row in rows), bool, len(rows))
    return np.fromiter(map(bool, [row.context for row in rows]), bool, len(rows))


def nothing_known(identity: Identity, row: Row) -> Scores:
    """NaN for every channel and key of ``row``."""
    return np.full((len(identity.channels), len(row.keys)), np.nan, np.float32)


def checked_halves(identity: Identity, rows: Sequence[Row], scores: Sequence[Scores]) -> Half:
    """The scores of all rows one after the other, ``(N, C)``; all NaN unless a pair has them all.

    Raises ValueError for an array of another shape than its row asks for, or a score outside
    [0, 1].
    """
    channels = len(identity.channels)
    if len(rows) != len(scores):
        raise ValueError(f"{len(rows)} rows came with {len(scores)} arrays of scores")
    for row, values in zip(rows, scores, strict=True):
        if values.shape != (channels, len(row.keys)):
            raise ValueError(
                f"the row of {row.query!r} needs scores of shape ({channels}, {len(row.keys)}), "
                f"not {values.shape}"
            )
    if not rows:
        return np.empty((0, channels), np.float16)
    together = np.concatenate(scores, axis=1).T
    outside = (together < 0) | (together > 1)
    if outside.any():
        pair, channel = np.argwhere(outside)[0]
        row = rows[int(np.searchsorted(np.cumsum(key_counts(rows)), pair, side="right"))]
        raise ValueError(
            f"the row of {row.query!r} has the score {together[pair, channel]} in channel "
            f"{identity.channels[channel]!r}: scores are in [0, 1], or NaN where unknown"
        )
    halves: Half = together.astype(np.float16)
    missing = np.isnan(together)
    if missing.any():
        halves[missing.any(axis=1)] = np.nan
    return halves
