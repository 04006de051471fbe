"""The scores of a text's tokens with each other, asked for and read in one go."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llmattn.rows import Scope, pair_rows, prefix_rows
from llmattn.scoring.source import ScoreSource

__all__ = ["text_matrix"]


def text_matrix(source: ScoreSource, tokens: Sequence[str]) -> NDArray[np.float32]:
    """Scores ``(C, T, T)`` of T tokens: query i, key j <= i; NaN elsewhere and where unknown.

    ``source`` is asked for what its cache lacks, in context without the first token: it has none
    but itself to attend to. Raises what ``ScoreSource.scores`` raises.
    """
    identity, size = source.identity, len(tokens)
    matrix = np.full((len(identity.channels), size, size), np.nan, np.float32)
    if identity.scope is Scope.PREFIX:
        for i, scores in enumerate(source.scores(prefix_rows(tokens)[1:]), start=1):
            matrix[:, i, : i + 1] = scores
        return matrix
    rows = pair_rows(tokens)
    if not rows:
        return matrix
    column = {token: i for i, token in enumerate(tokens)}
    queries = np.repeat([column[row.query] for row in rows], [len(row.keys) for row in rows])
    keys = [column[key] for row in rows for key in row.keys]
    matrix[:, queries, keys] = np.concatenate(source.scores(rows), axis=1)
    places = [column[token] for token in tokens]
    matrix = matrix.take(places, axis=1).take(places, axis=2)
    return np.where(np.tri(size, dtype=bool), matrix, np.float32(np.nan))
