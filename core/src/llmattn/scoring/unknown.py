"""Which part of a row is still unknown: asked of the cache beforehand, and of each reply."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from llmattn.cache.protocol import ScoreCache
from llmattn.providers.protocol import AttentionProvider
from llmattn.rows import Row, Scope, Scores
from llmattn.scoring.planner import merge_rows
from llmattn.scoring.stored import stored_scores

__all__ = ["known_pairs", "missing_rows", "unknown_part"]


def known_pairs(scores: Sequence[Scores]) -> int:
    """How many keys of all rows have a score in every channel: others are not kept."""
    if not scores:
        return 0
    return int((~np.isnan(np.concatenate(scores, axis=1))).all(axis=0).sum())


def unknown_part(row: Row, scores: Scores, scope: Scope) -> Row | None:
    """``row`` with the keys that a channel has no score for; None if there are none.

    A PREFIX row is asked whole, so it stays whole.
    """
    unknown = np.isnan(scores).any(axis=0)
    if not unknown.any():
        return None
    if unknown.all() or scope is Scope.PREFIX:
        return row
    return Row(row.query, [row.keys[i] for i in np.flatnonzero(unknown)])


def missing_rows(cache: ScoreCache, provider: AttentionProvider, rows: Iterable[Row]) -> list[Row]:
    """What ``cache`` lacks of ``rows``: PAIR rows with their unknown keys, PREFIX rows whole."""
    wanted = merge_rows(rows)
    known = stored_scores(cache, provider, wanted)
    parts = (
        unknown_part(row, scores, provider.scope) for row, scores in zip(wanted, known, strict=True)
    )
    return [part for part in parts if part is not None]
