"""What batches under way will answer: nobody asks, and pays, for it meanwhile."""

from __future__ import annotations

import time
from collections.abc import Sequence

from attrs import define, field

from llmattn.rows import Row
from llmattn.scoring.batch_files import BatchFolder, Pending
from llmattn.scoring.planner import merge_rows

__all__ = ["UnderWay", "handed_over"]


@define(eq=False)
class _Held:
    """The pairs, and the texts of rows with context, of one batch."""

    pending: Pending
    keys: dict[str, set[str]] = field(factory=dict)
    texts: set[tuple[str, tuple[str, ...]]] = field(factory=set)

    @classmethod
    def of(cls, pending: Pending) -> _Held:
        held = cls(pending)
        for request in pending.requests:
            for row in request:
                if row.context:
                    held.texts.add((row.query, row.context))
                else:
                    held.keys.setdefault(row.query, set()).update(row.keys)
        return held

    def free(self, row: Row) -> Row | None:
        """``row`` without what this batch will answer; None if nothing is left."""
        if row.context:
            return None if (row.query, row.context) in self.texts else row
        held = self.keys.get(row.query)
        if not held or held.isdisjoint(row.keys):
            return row
        keys = [key for key in row.keys if key not in held]
        return Row(row.query, keys) if keys else None


class UnderWay:
    """The batches of a folder that are handed over, or being handed over, and not collected.

    Read again whenever the folder has changed.
    """

    def __init__(self, files: BatchFolder) -> None:
        self._files = files
        self._stamp: frozenset[tuple[str, int, int]] = frozenset()
        self._held: list[_Held] = []

    def apart(self, rows: Sequence[Row]) -> tuple[list[Row], list[Pending]]:
        """What no batch will answer of ``rows``, and the batches that will answer the others.

        Raises CacheError for a file that does not describe a batch.
        """
        self._look()
        if not self._held:
            return list(rows), []
        left, holders = merge_rows(rows), []
        for held in self._held:
            free = [held.free(row) for row in left]
            if any(now is not row for now, row in zip(free, left, strict=True)):
                holders.append(held.pending)
            left = [row for row in free if row is not None]
        return left, holders

    def __bool__(self) -> bool:
        """Whether there is any batch."""
        self._look()
        return bool(self._held)

    def _look(self) -> None:
        stamp = self._files.stamp()
        if stamp != self._stamp:
            self._held = [_Held.of(p) for p in self._files.all() if not p.lost]
            self._stamp = stamp


def handed_over(pending: Pending) -> str:
    """Which batch it is, and since when, in words."""
    when = time.strftime("%Y-%m-%d %H:%M", time.localtime(pending.submitted))
    if not pending.batch_id:
        return f"a batch that is being handed over since {when}, or whose hand-over broke off"
    return f"batch {pending.batch_id}, handed over at {when}"
