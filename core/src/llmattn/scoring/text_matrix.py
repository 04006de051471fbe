"""The scores of a text's tokens with each other, asked for and read in one go."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llmattn.rows import Row, Scope, prefix_rows
from llmattn.scoring.source import ScoreSource

__all__ = ["pair_matrix", "text_matrix"]


def text_matrix(source: ScoreSource, tokens: Sequence[str]) -> NDArray[np.float32]:
    """Scores ``(C, T, T)`` of T tokens: query i, key j <= i; NaN elsewhere and where unknown.

    ``source`` is asked for what its cache lacks, in context without the first token: it has none
    but itself to attend to. Raises what ``ScoreSource.scores`` raises.
    """
    identity, size = source.identity, len(tokens)
    if identity.scope is not Scope.PREFIX:
        return pair_matrix(source, tokens, tokens)
    matrix = np.full((len(identity.channels), size, size), np.nan, np.float32)
    for i, scores in enumerate(source.scores(prefix_rows(tokens)[1:]), start=1):
        matrix[:, i, : i + 1] = scores
    return matrix


def pair_matrix(
    source: ScoreSource, queries: Sequence[str | None], keys: Sequence[str | None]
) -> NDArray[np.float32]:
    """The same of PAIR scope, where T tokens are these words as queries and those as keys; None:
    no word. A word is asked about once.
    """
    size = len(queries)
    matrix = np.full((len(source.identity.channels), size, size), np.nan, np.float32)
    wanted: dict[str, set[str]] = {}
    seen: set[str] = set()
    for query, key in zip(queries, keys, strict=True):
        if key is not None:
            seen.add(key)
        if query is not None and seen:
            wanted.setdefault(query, set()).update(seen)
    rows = [Row(query, tuple(sorted(found))) for query, found in wanted.items()]
    if not rows:
        return matrix
    row_of = {row.query: n for n, row in enumerate(rows)}
    column_of = {key: n for n, key in enumerate(sorted(seen))}
    # One row and one column more, for what is no word.
    table = np.full((len(matrix), len(rows) + 1, len(column_of) + 1), np.nan, np.float32)
    places = np.repeat(np.arange(len(rows)), [len(row.keys) for row in rows])
    columns = [column_of[key] for row in rows for key in row.keys]
    table[:, places, columns] = np.concatenate(source.scores(rows), axis=1)
    table = table.take([row_of.get(query or "", -1) for query in queries], axis=1)
    table = table.take([column_of.get(key or "", -1) for key in keys], axis=2)
    return np.where(np.tri(size, dtype=bool), table, np.float32(np.nan))
