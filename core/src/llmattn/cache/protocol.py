"""What a score cache is, and what it may offer besides. Backends choose their own layout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from attrs import define, field, frozen
from numpy.typing import NDArray

from llmattn.identity import Identity
from llmattn.rows import Row, Scores
from llmattn.usage import Usage

__all__ = [
    "BulkCache",
    "Claims",
    "FileCache",
    "MaybeReadOnly",
    "NamespaceInfo",
    "Numbers",
    "Pairs",
    "ScoreCache",
    "SharedCache",
    "Taken",
    "VerifyReport",
]

Pairs = tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float16]]
"""Query ids (N,), key ids (N,) and scores (C, N) of N pairs."""

Numbers = NDArray[np.uint64]
"""Pairs, or texts, of any namespace: each as a number made of its words. Shape (N,)."""


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


@define
class VerifyReport:
    """What ``FileCache.verify`` found in the file of a cache, and in how many records."""

    path: Path
    records: int = 0
    problems: list[str] = field(factory=list)
    kept_copy: Path | None = None
    """Where the store went before its bad records were dropped."""


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


@frozen(eq=False)
class Taken:
    """What other askers of a shared cache claim of a request; see :class:`Claims`."""

    numbers: NDArray[np.bool_]
    """Which of its numbers, (N,)."""
    holders: tuple[str, ...] = ()
    """Who they are, in words."""


class Claims(Protocol):
    """What one asker is asking for, told to all others who share its cache.

    A claim holds until it is released, or its asker is gone: dead, or without :meth:`renew` for a
    minute. May be called from any thread, by one at a time. Raises CacheError where the others
    cannot be told.
    """

    @property
    def beside(self) -> bool:
        """Whether others may have scored something since these claims were opened."""
        ...

    def claim(self, wanted: Mapping[int, Numbers]) -> dict[int, Taken]:
        """Claim requests, each under a number of its own; of none that another claims in part.

        What is taken of each: a request of which nothing is is now this asker's.
        """
        ...

    def taken(self, numbers: Numbers) -> Taken:
        """What others claim of ``numbers``, which are not claimed by this."""
        ...

    def release(self, ticket: int, kept: Numbers | None = None) -> None:
        """Give a claim back, but for ``kept``; others may hear of it a second later."""
        ...

    def renew(self) -> None:
        """Show that the asker is there; to be called every second."""
        ...

    def close(self) -> None:
        """Give all claims back; may be called twice."""
        ...


@runtime_checkable
class SharedCache(Protocol):
    """A cache whose users share the work: none asks, and pays, for what another is asking for."""

    def claims(self) -> Claims:
        """Claims of one more asker, to be closed. Raises CacheError."""
        ...


@runtime_checkable
class MaybeReadOnly(Protocol):
    """A cache that may be found where its user can read it, and not write."""

    @property
    def read_only(self) -> bool:
        """Whether nothing can be put."""
        ...


@runtime_checkable
class FileCache(Protocol):
    """A cache that keeps its scores in a file of this machine.

    ``llmattn cache path``, ``compact`` and ``verify`` work on it, and what is made from its
    scores is kept beside it. The class is what has to be registered: ``locate`` and ``verify``
    are static or class methods, since the file may not be there yet, or too damaged to open.
    """

    @property
    def path(self) -> Path:
        """The file of an open cache. Packed scores and batches lie in its folder."""
        ...

    def compact(self) -> tuple[int, int]:
        """Give back the room of what was purged, safe while others read and write.

        Returns the size in bytes before and after.
        """
        ...

    @staticmethod
    def locate(settings: Any) -> Path:
        """Where the cache of these settings has its file, or would have it. Makes nothing."""
        ...

    @staticmethod
    def verify(settings: Any, *, drop: bool = False) -> VerifyReport:
        """Look at every record of the file; nobody needs to have it open.

        ``drop``: if something is wrong, keep a copy of the file and go on with its good records.
        Raises CacheError if there is no file, or a copy cannot be made.
        """
        ...
