"""All scores of a vocabulary at once, from any cache."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llmattn.cache.protocol import BulkCache, Pairs, ScoreCache
from llmattn.identity import Identity

__all__ = ["load_pairs"]


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
