"""Commits replies in groups: one transaction for all that arrived while the last one ran."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import anyio.to_thread
from attrs import define, field

from llmattn.cache.protocol import ScoreCache
from llmattn.identity import Identity
from llmattn.rows import Row, Scores
from llmattn.usage import Usage

__all__ = ["GroupWriter"]


@define
class _Batch:
    puts: int = 0
    rows: list[Row] = field(factory=list)
    scores: list[Scores] = field(factory=list)
    usage: Usage = Usage()
    done: anyio.Event = field(factory=anyio.Event)
    error: Exception | None = None


class GroupWriter:
    """Puts scores into a cache off the event loop; :meth:`put` returns once they are durable."""

    def __init__(self, cache: ScoreCache, identity: Identity) -> None:
        self._cache = cache
        self._identity = identity
        self._batch = _Batch()
        self._writing = anyio.Lock()

    async def put(self, rows: Sequence[Row], scores: Sequence[Scores], usage: Usage) -> None:
        """Commit with whatever else is waiting. Raises CacheError."""
        batch = self._batch
        first = not batch.puts
        batch.puts += 1
        batch.rows.extend(rows)
        batch.scores.extend(scores)
        batch.usage += usage
        # What was paid for is committed even if its asker is told to stop meanwhile.
        with anyio.CancelScope(shield=True):
            if first:
                # Only one of a batch queues for the lock: it is passed on once a round of the
                # event loop, so all of them together would wait longer than the disk takes.
                async with self._writing:
                    self._batch = _Batch()
                    await self._commit(batch)
            else:
                await batch.done.wait()
        if batch.error:
            raise batch.error

    async def _commit(self, batch: _Batch) -> None:
        try:
            await anyio.to_thread.run_sync(
                self._cache.put, self._identity, batch.rows, batch.scores, batch.usage
            )
        except Exception as error:  # handed to everyone who waits for this batch
            batch.error = error
        finally:
            batch.done.set()
