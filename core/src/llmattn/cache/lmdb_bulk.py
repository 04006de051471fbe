"""Many scores at once out of an LMDB transaction; see ``BulkCache``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from llmattn.cache.lmdb_layout import ID_KEY
from llmattn.cache.lmdb_rows import joined, read_records
from llmattn.cache.lmdb_store import Store, Transaction
from llmattn.cache.protocol import Pairs

__all__ = ["load_pairs"]

_PAIR_KEY = np.dtype([("space", ">u4"), ("query", ">u4"), ("block", ">u2")])
_SCAN_SHARE = 4
"""From one stored word in so many on, reading everything beats picking queries."""


def load_pairs(
    txn: Transaction, store: Store, space: int, channels: int, vocabulary: Sequence[str]
) -> Pairs:
    """Pairs whose words are both in ``vocabulary``, as indices into it."""
    ids = store.vocabulary.ids(vocabulary)
    known = ids[ids >= 0]
    index = np.full(len(store.vocabulary), -1, np.int64)
    index[known] = np.flatnonzero(ids >= 0)
    if len(known) * _SCAN_SHARE >= len(index):
        pairs, records = _scan(txn, store, space, channels)
    else:
        pairs, records = read_records(txn, store, space, np.unique(known), channels)
    queries, keys = index[pairs >> 32], index[pairs & 0xFFFFFFFF]
    scores = records[:, 1:].view(np.float16)
    wanted = (queries >= 0) & (keys >= 0)
    if not wanted.all():
        queries, keys, scores = queries[wanted], keys[wanted], scores[wanted]
    return queries, keys, np.ascontiguousarray(scores.T)


def _scan(
    txn: Transaction, store: Store, space: int, channels: int
) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """Every stored pair, in the form of ``read_records``."""
    cursor = txn.cursor(store.pairs)
    prefix, after = ID_KEY.pack(space), ID_KEY.pack(space + 1)
    keys: list[bytes] = []
    values: list[bytes] = []
    if cursor.set_range(prefix):
        for key, value in cursor:
            if key >= after:
                break
            keys.append(key)
            values.append(value)
    parts = np.frombuffer(b"".join(keys), _PAIR_KEY)
    bases = parts["query"].astype(np.int64) << 32 | parts["block"].astype(np.int64) << 16
    return joined(values, bases, channels)
