"""What a score cache is. Backends choose their own layout."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from llmattn.identity import Identity
from llmattn.rows import Row, Scores
from llmattn.usage import Usage

__all__ = ["BulkCache", "NamespaceInfo", "Pairs", "ScoreCache"]

Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float16]]
"""Query ids (N,), key ids (N,) and scores (C, N) of N pairs."""


@frozen
class NamespaceInfo:
    """One namespace of a cache, as ``llmattn cache stats`` shows it."""

    namespace: str
    identity: Identity
    rows: int
    pairs: int
    bytes: int
    created: float
    """Seconds since the epoch, UTC."""
    updated: float
    """Seconds since the epoch, UTC."""
    usage: Usage = Usage()
    """What the scores kept here have cost, as far as it was recorded."""


@runtime_checkable
class ScoreCache(Protocol):
    """Scores by namespace and row, kept as float16. All methods may be called from any thread.

    Raises ``llmattn.errors.CacheError`` when the store cannot be read or written.
    """

    def get(self, identity: Identity, rows: Sequence[Row]) -> list[Scores]:
        """One float32 array ``(C, len(row.keys))`` a row, C = ``len(identity.channels)``;
        NaN where unknown.
        """
        ...

    def put(
        self,
        identity: Identity,
        rows: Sequence[Row],
        scores: Sequence[Scores],
        usage: Usage = Usage(),
    ) -> None:
        """Store scores; durable once it returns.

        Atomic (all rows or none), merges with what is there, idempotent. A pair is stored
        when all of its channels are finite; NaN is skipped, so a failure is never stored.
        ``usage`` is added to what the namespace has cost. Raises ValueError for a score
        outside [0, 1] or an array of the wrong shape.
        """
        ...

    def scan(self, namespace: str) -> Iterator[tuple[Row, Scores]]:
        """Every stored row of a namespace with its scores.

        None of them is NaN, but for the positions of a row with context that are not known yet.
        """
        ...

    def namespaces(self) -> list[NamespaceInfo]:
        """What the cache holds, oldest first."""
        ...

    def purge(self, namespace: str) -> None:
        """Forget a namespace; nothing happens if it is not there."""
        ...

    def close(self) -> None:
        """Give back files and connections; may be called twice."""
        ...


@runtime_checkable
class BulkCache(Protocol):
    """A cache that gives the pairs of a vocabulary faster than row by row.

    Call ``llmattn.cache.bulk.load_pairs``, which makes do with any other cache too.
    """

    def get_pairs(self, identity: Identity, vocabulary: Sequence[str]) -> Pairs:
        """All stored pairs of words that are both in ``vocabulary``, as indices into it.

        Rows with context are left out. In no particular order.
        """
        ...
