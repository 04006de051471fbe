"""Copies scores into a cache; equal pairs with other scores are conflicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np
from attrs import define, field

from llmattn.cache.exchange.portions import Portion
from llmattn.cache.protocol import ScoreCache
from llmattn.errors import CacheError
from llmattn.identity import Identity
from llmattn.rows import Row, Scores

__all__ = ["TransferReport", "contents", "copy_into"]

_BATCH_PAIRS = 50_000
_EXAMPLES = 5


@define
class TransferReport:
    """What :func:`copy_into` did, in pairs."""

    namespaces: int = 0
    rows: int = 0
    added: int = 0
    same: int = 0
    conflicts: int = 0
    replaced: bool = False
    """Whether conflicts were settled for the newcomer."""
    examples: list[str] = field(factory=list)
    """The first conflicts, in words."""


def contents(cache: ScoreCache, namespaces: Iterable[str] | None = None) -> Iterator[Portion]:
    """Everything in ``cache``, or some namespaces of it, portion by portion as :func:`copy_into`
    takes it.
    """
    wanted = None if namespaces is None else set(namespaces)
    for info in cache.namespaces():
        if wanted is None or info.namespace in wanted:
            yield Portion(info.identity, info.usage, cache.scan(info.namespace))


def copy_into(
    cache: ScoreCache, portions: Iterable[Portion], *, replace: bool = False
) -> TransferReport:
    """Merge ``portions`` into ``cache``: what is there stays, unless ``replace``.

    A namespace's cost is taken over when none of its pairs was here before; otherwise the
    same money might be counted twice. Raises CacheError for scores that no cache may hold.
    """
    report = TransferReport(replaced=replace)
    for portion in portions:
        report.namespaces += 1
        before = report.same + report.conflicts
        for batch in _batches(portion.rows):
            _copy(cache, portion.identity, batch, report)
        if before == report.same + report.conflicts:
            cache.put(portion.identity, [], [], portion.usage)
    return report


def _batches(rows: Iterator[tuple[Row, Scores]]) -> Iterator[list[tuple[Row, Scores]]]:
    batch: list[tuple[Row, Scores]] = []
    pairs = 0
    for row, scores in rows:
        batch.append((row, scores))
        pairs += len(row.keys)
        if pairs >= _BATCH_PAIRS:
            yield batch
            batch, pairs = [], 0
    if batch:
        yield batch


def _copy(
    cache: ScoreCache,
    identity: Identity,
    batch: list[tuple[Row, Scores]],
    report: TransferReport,
) -> None:
    rows = [row for row, _ in batch]
    try:
        found = cache.get(identity, rows)
    except ValueError as error:
        raise CacheError(f"These are no rows to keep: {error}") from None
    put_rows: list[Row] = []
    put_scores: list[Scores] = []
    for (row, scores), old in zip(batch, found, strict=True):
        if scores.shape != old.shape:
            raise CacheError(
                f"The row of {row.query!r} has scores of shape {scores.shape}, not {old.shape}."
            )
        new = scores.astype(np.float16).astype(np.float32)
        given, had = ~np.isnan(new).any(axis=0), ~np.isnan(old).any(axis=0)
        differs = given & had & (new != old).any(axis=0)
        report.rows += 1
        report.added += int((given & ~had).sum())
        report.same += int((given & had & ~differs).sum())
        report.conflicts += int(differs.sum())
        for i in np.flatnonzero(differs)[: _EXAMPLES - len(report.examples)]:
            report.examples.append(
                f"{identity.provider}: {row.query!r} to {row.keys[i]!r} is {_shown(old[:, i])} "
                f"here and {_shown(new[:, i])} there"
            )
        take = given & (~had | (differs & report.replaced))
        if take.any():
            put_rows.append(row)
            put_scores.append(np.where(take, new, np.nan).astype(np.float32))
    if put_rows:
        try:
            cache.put(identity, put_rows, put_scores)
        except ValueError as error:
            raise CacheError(f"These are not scores: {error}") from None


def _shown(scores: Scores) -> str:
    return ", ".join(f"{score:.4g}" for score in scores)
