"""Many scores at once from any cache: a vocabulary's pairs, a text's matrix."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llmattn.cache.protocol import BulkCache, Pairs, ScoreCache
from llmattn.identity import Identity
from llmattn.rows import Row, Scope, prefix_rows

__all__ = ["load_matrix", "load_pairs"]


def load_pairs(cache: ScoreCache, identity: Identity, vocabulary: Sequence[str]) -> Pairs:
    """All stored pairs of words that are both in ``vocabulary``, as indices into it.

    Returns query ids (N,), key ids (N,) and scores float16 (C, N), in no particular order.
    """
    if isinstance(cache, BulkCache):
        return cache.get_pairs(identity, vocabulary)
    index = {word: i for i, word in enumerate(vocabulary)}
    queries: list[int] = []
    keys: list[int] = []
    scores: list[NDArray[np.float16]] = [np.empty((len(identity.channels), 0), np.float16)]
    for row, values in cache.scan(identity.namespace):
        if row.context or row.query not in index:
            continue
        known = [i for i, key in enumerate(row.keys) if key in index]
        queries += [index[row.query]] * len(known)
        keys += [index[row.keys[i]] for i in known]
        scores.append(values[:, known].astype(np.float16))
    return np.array(queries, np.int64), np.array(keys, np.int64), np.concatenate(scores, axis=1)


def load_matrix(
    cache: ScoreCache, identity: Identity, tokens: Sequence[str]
) -> NDArray[np.float32]:
    """Scores ``(C, T, T)`` of a text of T tokens, NaN where unknown; see ``BulkCache``."""
    if isinstance(cache, BulkCache):
        return cache.get_matrix(identity, tokens)
    size = len(tokens)
    matrix = np.full((len(identity.channels), size, size), np.nan, np.float32)
    if identity.scope is Scope.PREFIX:
        rows = prefix_rows(tokens)
        for i, values in enumerate(cache.get(identity, rows)):
            matrix[:, i, : i + 1] = values
        return matrix
    words = tuple(dict.fromkeys(tokens))
    found = dict(zip(words, cache.get(identity, [Row(word, words) for word in words]), strict=True))
    index = {word: i for i, word in enumerate(words)}
    columns = [index[token] for token in tokens]
    for i, token in enumerate(tokens):
        matrix[:, i] = found[token][:, columns]
    return matrix
