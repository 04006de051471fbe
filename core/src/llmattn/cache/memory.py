"""The cache that is gone at the end of the process; also the plainest example of a cache."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence

import numpy as np
from attrs import define, evolve, field

from llmattn.cache.checks import Half, checked_halves, has_positions, key_counts, nothing_known
from llmattn.cache.protocol import NamespaceInfo
from llmattn.cache.settings import MemorySettings
from llmattn.identity import Identity
from llmattn.rows import Row, Scores
from llmattn.usage import Usage

__all__ = ["MemoryCache"]


@define
class _Namespace:
    info: NamespaceInfo
    pairs: dict[str, dict[str, Half]] = field(factory=dict)
    """Query -> key -> scores ``(C,)``."""
    texts: dict[tuple[str, ...], Half] = field(factory=dict)
    """Context and query -> scores ``(n, C)``, NaN where unknown."""


class MemoryCache:
    """Scores in dictionaries of this process."""

    def __init__(self, _: MemorySettings) -> None:
        self._lock = threading.RLock()
        self._spaces: dict[str, _Namespace] = {}

    def get(self, identity: Identity, rows: Sequence[Row]) -> list[Scores]:
        """See ``ScoreCache.get``."""
        with self._lock:
            space = self._spaces.get(identity.namespace)
            return [self._row(identity, space, row) for row in rows]

    def put(
        self,
        identity: Identity,
        rows: Sequence[Row],
        scores: Sequence[Scores],
        usage: Usage = Usage(),
    ) -> None:
        """See ``ScoreCache.put``."""
        halves = checked_halves(identity, rows, scores)
        parts = np.split(halves, np.cumsum(key_counts(rows))[:-1]) if rows else []
        kept = [(row, has_positions(identity, row)) for row in rows]  # all of them, or none
        if np.isnan(halves).all() and usage == Usage():
            return
        with self._lock:
            space = self._space(identity)
            for (row, text), values in zip(kept, parts, strict=True):
                if text:
                    _merge_text(space, row, values)
                else:
                    _merge_pairs(space, row, values)
            space.info = evolve(space.info, updated=time.time(), usage=space.info.usage + usage)

    def scan(self, namespace: str) -> Iterator[tuple[Row, Scores]]:
        """See ``ScoreCache.scan``."""
        with self._lock:
            space = self._spaces.get(namespace)
            if space is None:
                return
            pairs = [(query, dict(found)) for query, found in space.pairs.items()]
            texts = list(space.texts.items())
        for query, found in pairs:
            yield Row(query, tuple(found)), np.stack(list(found.values()), 1).astype(np.float32)
        for words, values in texts:
            yield Row(words[-1], words, words[:-1]), values.T.astype(np.float32)

    def namespaces(self) -> list[NamespaceInfo]:
        """See ``ScoreCache.namespaces``."""
        with self._lock:
            listed = [_counted(space) for space in self._spaces.values()]
        return sorted(listed, key=lambda info: info.created)

    def purge(self, namespace: str) -> None:
        """See ``ScoreCache.purge``."""
        with self._lock:
            self._spaces.pop(namespace, None)

    def close(self) -> None:
        """Forget everything."""
        with self._lock:
            self._spaces.clear()

    def _space(self, identity: Identity) -> _Namespace:
        now = time.time()
        new = NamespaceInfo(identity.namespace, identity, 0, 0, 0, created=now, updated=now)
        return self._spaces.setdefault(identity.namespace, _Namespace(new))

    def _row(self, identity: Identity, space: _Namespace | None, row: Row) -> Scores:
        answer = nothing_known(identity, row)
        text = has_positions(identity, row)
        if space is None:
            return answer
        if text:
            known = space.texts.get((*row.context, row.query))
            return answer if known is None else known.T.astype(np.float32)
        found = space.pairs.get(row.query, {})
        for i, key in enumerate(row.keys):
            if key in found:
                answer[:, i] = found[key]
        return answer


def _merge_pairs(space: _Namespace, row: Row, values: Half) -> None:
    known = np.flatnonzero(~np.isnan(values[:, 0]))
    if len(known):
        found = space.pairs.setdefault(row.query, {})
        found.update((row.keys[i], values[i].copy()) for i in known)


def _merge_text(space: _Namespace, row: Row, values: Half) -> None:
    if np.isnan(values[:, 0]).all():
        return
    words = (*row.context, row.query)
    before = space.texts.get(words)
    merged = values.copy() if before is None else np.where(np.isnan(values), before, values)
    space.texts[words] = merged


def _counted(space: _Namespace) -> NamespaceInfo:
    pairs = sum(map(len, space.pairs.values()))
    positions = sum(int((~np.isnan(values[:, 0])).sum()) for values in space.texts.values())
    channels = len(space.info.identity.channels)
    return evolve(
        space.info,
        rows=len(space.pairs) + len(space.texts),
        pairs=pairs + positions,
        bytes=2 * channels * (pairs + positions),
    )
