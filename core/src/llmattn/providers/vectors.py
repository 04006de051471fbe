"""Word vectors asked for and kept as scores are: a word is a row, a number of its vector a channel.

So packing, retries, limits, budget, claims and caches are those of scores.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import evolve
from numpy.typing import NDArray

from llmattn.causes import Cause
from llmattn.errors import BadReply, PluginError
from llmattn.identity import Identity
from llmattn.providers.protocol import Limits, Reply, StandIn, VectorProvider, VectorReply
from llmattn.rows import Row, Scope, Scores
from llmattn.usage import Usage

__all__ = ["MOST_DIMENSIONS", "VectorScores", "read_dimensions", "read_vectors", "vector_rows"]

MOST_DIMENSIONS = 1 << 14
"""More numbers than any model's vectors have: a slip, or a server that wants to take all memory."""

_LEAST, _RANGE = -32.0, 64.0
"""The scale of a vector, its largest number, lies between 2**-32 and 2**32."""


def vector_rows(words: Sequence[str]) -> list[Row]:
    """The rows that stand for the vectors of ``words``."""
    return [Row(word, (word,)) for word in words]


def read_vectors(scores: Sequence[Scores]) -> NDArray[np.float32]:
    """The vectors ``(n, d)`` in the scores of :func:`vector_rows`; NaN where unknown."""
    whole = np.concatenate(scores, axis=1).T
    scale = np.exp2(whole[:, :1] * _RANGE + _LEAST)
    return np.asarray((2 * whole[:, 1:] - 1) * scale, np.float32)


def read_dimensions(scores: Scores) -> int:
    """How many numbers a vector has, as a source of ``VectorScores(..., dimensions=0)`` found."""
    return round(float(scores[0, 0]) * 256) * 256 + round(float(scores[1, 0]) * 256)


class VectorScores:
    """A provider of scores made of one of vectors.

    ``dimensions``: numbers of a vector; 0: the scores of a word are how many there are, which some
    servers tell only when they are asked.
    """

    scope = Scope.PAIR
    absent_score = None
    unit = "word vector"

    def __init__(self, provider: VectorProvider, name: str, dimensions: int) -> None:
        self._provider = provider
        self._name = name
        self._dimensions = dimensions
        self.local: bool = getattr(provider, "local", False)
        self.on_this_machine: bool = getattr(provider, "on_this_machine", False)
        self.channels = ("scale", *map(str, range(1, dimensions + 1)))
        if not dimensions:
            self.channels = ("dimensions / 256", "dimensions % 256")
        most = provider.words_per_request
        self.limits = Limits(
            pairs_per_request=most,
            rows_per_request=most,
            requests_at_once=provider.requests_at_once,
            timeout=provider.timeout,
        )

    @property
    def stand_in(self) -> StandIn | None:
        """See ``NamedServer``."""
        found: StandIn | None = getattr(self._provider, "stand_in", None)
        return found

    def identity(self) -> Identity:
        own = self._provider.identity()
        details = {**dict(own.details), "kind": "word vectors"}
        return evolve(own, scope=self.scope, channels=self.channels, details=details)

    def estimate(self, rows: Sequence[Row]) -> Usage:
        """An upper bound: no token is shorter than a byte."""
        return Usage(1, sum(len(row.query.encode("utf-8", "surrogatepass")) + 2 for row in rows))

    def expect(self, rows: Sequence[Row]) -> Usage:
        """A word is a token or two."""
        return Usage(1, sum(1 + len(row.query) // 6 for row in rows))

    async def score(self, rows: Sequence[Row]) -> Reply:
        reply = await self._provider.vectors([row.query for row in rows])
        found = self._checked(reply, len(rows))
        scores = _as_scores(found) if self._dimensions else _as_dimensions(found)
        return Reply([one[:, None] for one in scores], reply.usage, reply.model, reply.rate)

    async def aclose(self) -> None:
        await self._provider.aclose()

    def _checked(self, reply: VectorReply, count: int) -> NDArray[np.float32]:
        found = np.asarray(reply.vectors, np.float32)
        if found.ndim != 2 or len(found) != count or not 0 < found.shape[1] <= MOST_DIMENSIONS:
            raise PluginError(
                f"The provider {self._name!r} gave word vectors of the shape {found.shape}, where "
                f"({count}, numbers of a vector) was asked for."
            )
        if self._dimensions not in (0, found.shape[1]):
            raise BadReply(
                f"{self._name}: a vector has {found.shape[1]} numbers, and those that are kept "
                f"have {self._dimensions}: the server may have another model now. Name it (-o "
                f"{self._name}.embedding_model=...).",
                cause=Cause.OTHER,
                usage=reply.usage,
            )
        if not np.isfinite(found).all():
            raise BadReply(
                f"{self._name}: some numbers of its word vectors are none. Try another model (-o "
                f"{self._name}.embedding_model=...).",
                cause=Cause.OTHER,
                usage=reply.usage,
            )
        return found


def _as_scores(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(n, d)`` -> ``(n, 1 + d)`` in [0, 1]: each vector's scale, and its numbers over it."""
    largest = np.abs(vectors).max(1, keepdims=True)
    scale = np.log2(np.maximum(largest, 2.0**_LEAST))
    stored = ((np.minimum(scale, _RANGE + _LEAST) - _LEAST) / _RANGE).astype(np.float16)
    # Caches keep float16: the scale that will be read must not be below the largest number.
    stored = np.minimum(np.nextafter(stored, np.float16(1)), np.float16(1))
    scale = np.exp2(stored.astype(np.float32) * _RANGE + _LEAST)
    return np.hstack([stored.astype(np.float32), (1 + np.clip(vectors / scale, -1, 1)) / 2])


def _as_dimensions(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """``(n, 2)``: how many numbers a vector has, exactly, in [0, 1]."""
    high, low = divmod(vectors.shape[1], 256)
    return np.tile(np.array([[high / 256, low / 256]], np.float32), (len(vectors), 1))
