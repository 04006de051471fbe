"""PAIR rows in and out of an LMDB transaction, as array code: nothing here runs once a pair."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from llmattn.cache.batch import Half, key_counts
from llmattn.cache.lmdb_layout import (
    ID_KEY,
    PAIR_KEY,
    SEALED,
    pack_pairs,
    pair_keys,
    pair_records,
    unpack_pairs,
)
from llmattn.cache.lmdb_store import Store, Transaction
from llmattn.cache.vocabulary import Interning
from llmattn.errors import CacheError
from llmattn.identity import Identity
from llmattn.rows import Row, Scores

__all__ = [
    "all_keys",
    "damaged",
    "get_pairs",
    "joined",
    "key_blocks",
    "measure_pairs",
    "put_pairs",
    "read_records",
    "scan_pairs",
]

_KEY_BITS = 32
_HALF_BITS = 16
_KEY_MASK = 0xFFFFFFFF
_PORTION = 256
"""Records that a scan reads in one transaction."""


def all_keys(rows: Sequence[Row]) -> list[str]:
    """The keys of all rows, one after the other."""
    return list(chain.from_iterable([row.keys for row in rows]))


def key_blocks(store: Store) -> range:
    """High halves of the key ids there may be."""
    return range((max(len(store.vocabulary), 1) - 1 >> _HALF_BITS) + 1)


def read_records(
    txn: Transaction, store: Store, space: int, queries: NDArray[np.int64], channels: int
) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """All stored pairs of the query ids ``queries`` (sorted, each once).

    Returns ``query << 32 | key`` (N,), ascending, and the records (N, 1 + C).
    """
    get, table, pack = txn.get, store.pairs, PAIR_KEY.pack
    blocks = key_blocks(store)
    values: list[bytes] = []
    bases: list[int] = []
    for query in queries.tolist():
        for block in blocks:
            value = get(pack(space, query, block), db=table)
            if value is not None:
                values.append(value)
                bases.append(query << _KEY_BITS | block << _HALF_BITS)
    return joined(values, bases, channels)


def joined(
    values: Sequence[bytes], bases: Sequence[int] | NDArray[np.int64], channels: int
) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """``query << 32 | key`` (N,) and records (N, 1 + C) of sealed values.

    Raises CacheError if one of them is damaged.
    """
    unpacked = unpack_pairs(values, channels)
    if unpacked is None:
        raise damaged()
    counts, records = unpacked
    pairs = np.repeat(np.asarray(bases, np.int64), counts)
    pairs += records[:, 0]
    return pairs, records


def damaged() -> CacheError:
    return CacheError("The cache has a damaged record. Give it up by: llmattn cache verify --drop")


def put_pairs(
    txn: Transaction,
    store: Store,
    interning: Interning,
    space: int,
    rows: Sequence[Row],
    halves: Half,
) -> None:
    """Merge scores (N, C) of PAIR rows into what is stored; the last of equal pairs wins."""
    query_ids, key_ids = interning.row_ids(rows)
    pairs = np.repeat(query_ids << _KEY_BITS, key_counts(rows)) | key_ids
    known = ~np.isnan(halves[:, 0])
    if not known.all():
        pairs, halves = pairs[known], halves[known]
    records = pair_records(pairs, halves)
    if _holds_pairs(txn, store, space):
        before, stored = read_records(txn, store, space, np.unique(query_ids), halves.shape[1])
        pairs = np.concatenate([before, pairs])
        records = np.concatenate([stored, records])
    order = np.argsort(pairs, kind="stable")
    pairs = pairs[order]
    last = np.append(pairs[1:] != pairs[:-1], True)
    if not last.all():
        pairs, order = pairs[last], order[last]
    _write_records(txn, store, space, pairs, records.take(order, axis=0))


def _holds_pairs(txn: Transaction, store: Store, space: int) -> bool:
    cursor = txn.cursor(store.pairs)
    prefix = ID_KEY.pack(space)
    return bool(cursor.set_range(prefix)) and cursor.key().startswith(prefix)


def _write_records(
    txn: Transaction,
    store: Store,
    space: int,
    pairs: NDArray[np.int64],
    records: NDArray[np.uint16],
) -> None:
    """Replace the values that hold ``pairs`` (ascending)."""
    segments = pairs >> _HALF_BITS
    starts = np.flatnonzero(np.append(True, segments[1:] != segments[:-1]))
    keys = pair_keys(space, segments[starts])
    values = pack_pairs(records, starts)
    table = store.pairs
    cursor = txn.cursor(table)
    if not cursor.last() or cursor.key() < keys[0]:
        cursor.putmulti(zip(keys, values, strict=True), append=True)
        return
    get, put = txn.get, txn.put
    for key, value in zip(keys, values, strict=True):
        if get(key, db=table) != value:  # an equal value would only make the file grow
            put(key, value, db=table)


def get_pairs(
    txn: Transaction, store: Store, space: int, identity: Identity, rows: Sequence[Row]
) -> list[Scores]:
    """Scores (C, n) of PAIR rows, NaN where unknown."""
    channels = len(identity.channels)
    query_ids, key_ids = store.vocabulary.row_ids(rows)
    counts = key_counts(rows)
    wanted = np.repeat(query_ids, counts) << _KEY_BITS | key_ids
    wanted[key_ids < 0] = -1
    queries = np.unique(query_ids)
    pairs, records = read_records(txn, store, space, queries[queries >= 0], channels)
    answer = np.full((channels, len(wanted)), np.nan, np.float32)
    if len(pairs):
        at = np.searchsorted(pairs, wanted)
        at[at == len(pairs)] = 0
        hit = pairs[at] == wanted
        answer[:, hit] = records[at[hit], 1:].view(np.float16).T
    return np.split(answer, np.cumsum(counts)[:-1], axis=1)


def scan_pairs(
    txn: Transaction, store: Store, space: int, channels: int, after: bytes
) -> tuple[list[tuple[Row, Scores]], bytes | None]:
    """A portion of the PAIR rows, from the key ``after`` on; and where the next one starts."""
    cursor = txn.cursor(store.pairs)
    prefix = ID_KEY.pack(space)
    found = cursor.set_range(after or prefix)
    values: list[bytes] = []
    bases: list[int] = []
    following = None
    while found:
        key = cursor.key()
        if not key.startswith(prefix):
            break
        _, query, block = PAIR_KEY.unpack(key)
        if len(values) >= _PORTION and query != bases[-1] >> _KEY_BITS:
            following = key
            break
        values.append(cursor.value())
        bases.append(query << _KEY_BITS | block << _HALF_BITS)
        found = cursor.next()
    if not values:
        return [], None
    pairs, records = joined(values, bases, channels)
    words = store.vocabulary.words
    starts = np.flatnonzero(np.diff(pairs >> _KEY_BITS, prepend=-1))
    rows = []
    for start, end in zip(starts, [*starts[1:], len(pairs)], strict=True):
        keys = tuple(words[i] for i in (pairs[start:end] & _KEY_MASK).tolist())
        scores = records[start:end, 1:].view(np.float16).T.astype(np.float32)
        rows.append((Row(words[int(pairs[start] >> _KEY_BITS)], keys), scores))
    return rows, following


def measure_pairs(
    txn: Transaction, store: Store, space: int, channels: int
) -> tuple[int, int, int]:
    """Rows, pairs and bytes of a namespace's PAIR rows."""
    rows = pairs = size = 0
    prefix = ID_KEY.pack(space)
    last_query = None
    cursor = txn.cursor(store.pairs)
    found = cursor.set_range(prefix)
    while found:
        key, value = cursor.item()
        if bytes(key[:4]) != prefix:
            break
        query = bytes(key[4:8])
        rows += query != last_query
        last_query = query
        pairs += (len(value) - SEALED) // (2 + 2 * channels)
        size += len(key) + len(value)
        found = cursor.next()
    return rows, pairs, size
