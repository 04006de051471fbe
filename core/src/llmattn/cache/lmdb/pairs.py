"""PAIR rows in and out of a transaction, as array code: nothing here runs once a pair.

A value holds the pairs of one query with up to 65,536 keys whose ids have the same high half:
checksum (of the record's key too), then for each pair the low half of the key's id (u16) and C
scores (f16), by key id.
In memory a pair is ``query << 32 | key``.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from itertools import islice, pairwise

import numpy as np
from numpy.typing import NDArray

from llmattn.cache.checks import Half, key_counts
from llmattn.cache.lmdb.layout import PAIR_KEY, SEALED, Space
from llmattn.cache.lmdb.store import Store, Transaction, damaged, records_of
from llmattn.cache.lmdb.vocabulary import Interning
from llmattn.cache.protocol import Pairs
from llmattn.rows import Row, Scores

__all__ = ["get_pairs", "load_pairs", "put_pairs", "scan_pairs"]

PairIds = NDArray[np.int64]
"""Pairs as numbers (N,), ascending."""
Records = NDArray[np.uint16]
"""Of each pair the low half of the key's id and the bits of its scores, (N, 1 + C)."""
_KEY_BITS = 32
_HALF_BITS = 16
_KEY_MASK = 0xFFFFFFFF
_KEY = np.dtype([("space", ">u4"), ("query", ">u4"), ("block", ">u2")])
"""``PAIR_KEY`` as numpy reads and writes many."""
_QUERY_KEY = 8
"""Bytes of the key that name space and query."""
_FEW = 400
"""Keys up to which a checksum of each costs less than those of all at once."""
_PORTION = 256
"""Records that a scan reads in one transaction."""
_SCAN_SHARE = 4
"""From one stored word in so many on, reading everything beats picking queries."""


def put_pairs(
    txn: Transaction,
    store: Store,
    interning: Interning,
    space: Space,
    rows: Sequence[Row],
    halves: Half,
) -> None:
    """Merge scores (N, C) of PAIR rows into what is stored; the last of equal pairs wins."""
    query_ids, key_ids = interning.row_ids(rows)
    pairs = np.repeat(query_ids << _KEY_BITS, key_counts(rows)) | key_ids
    known = ~np.isnan(halves[:, 0])
    if not known.all():
        pairs, halves = pairs[known], halves[known]
    records = np.empty((len(pairs), 1 + space.channels), "<u2")
    records[:, 0] = pairs & 0xFFFF
    records[:, 1:] = halves.view(np.uint16)
    if next(records_of(txn, store.pairs, space.id), None):
        before, stored = _read(txn, store, space, np.unique(query_ids))
        pairs = np.concatenate([before, pairs])
        records = np.concatenate([stored, records])
    order = np.argsort(pairs, kind="stable")
    pairs = pairs[order]
    last = np.append(pairs[1:] != pairs[:-1], True)
    if not last.all():
        pairs, order = pairs[last], order[last]
    _write(txn, store, space, pairs, records.take(order, axis=0))


def _write(txn: Transaction, store: Store, space: Space, pairs: PairIds, records: Records) -> None:
    """Replace the values that hold ``pairs``."""
    segments = pairs >> _HALF_BITS
    starts = np.flatnonzero(np.append(True, segments[1:] != segments[:-1]))
    segments = segments[starts]
    fields = np.empty(len(starts), _KEY)
    fields["space"], fields["query"], fields["block"] = space.id, segments >> 16, segments & 0xFFFF
    together = fields.tobytes()
    keys = _cut(together, np.arange(len(starts)) * PAIR_KEY.size)
    bodies = _cut(records.tobytes(), starts * (records.itemsize * records.shape[1]))
    seals = _cut(_checksums(together, bodies), np.arange(len(bodies)) * SEALED)
    values = [head + body for head, body in zip(seals, bodies, strict=True)]
    table = store.pairs
    cursor = txn.cursor(table)
    if not cursor.last() or cursor.key() < keys[0]:
        cursor.putmulti(zip(keys, values, strict=True), append=True)
        return
    get, put = txn.get, txn.put
    for key, value in zip(keys, values, strict=True):
        if get(key, db=table) != value:  # an equal value would only make the file grow
            put(key, value, db=table)


def _checksums(keys: bytes, bodies: Sequence[bytes]) -> bytes:
    """What ``layout.seal`` writes before each body, if ``keys`` are theirs, one after the other."""
    if len(bodies) < _FEW:
        size = PAIR_KEY.size
        begun = [zlib.crc32(keys[start : start + size]) for start in range(0, len(keys), size)]
    else:
        begun = _key_checksums(np.frombuffer(keys, np.uint8).reshape(-1, PAIR_KEY.size)).tolist()
    sums = map(zlib.crc32, bodies, begun)
    return np.fromiter(sums, "<u4", len(bodies)).tobytes()


def _key_checksums(keys: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """The CRC-32 of each of ``keys``, (N, bytes)."""
    found = np.full(len(keys), 0xFFFFFFFF, np.uint32)
    for column in keys.T:
        found = _CRC_OF_BYTE[(found ^ column) & 0xFF] ^ (found >> 8)
    return ~found


def _crc_of_byte() -> NDArray[np.uint32]:
    """The table of the CRC-32 by which a sum goes on with another byte."""
    found = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        found = (found >> 1) ^ np.where(found & 1, np.uint32(0xEDB88320), np.uint32(0))
    return found


_CRC_OF_BYTE = _crc_of_byte()


def _cut(data: bytes, starts: NDArray[np.int64]) -> list[bytes]:
    """``data`` in pieces that begin at ``starts``."""
    edges = [*starts.tolist(), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def get_pairs(txn: Transaction, store: Store, space: Space, rows: Sequence[Row]) -> list[Scores]:
    """Scores (C, n) of PAIR rows, NaN where unknown."""
    query_ids, key_ids = store.vocabulary.row_ids(rows)
    counts = key_counts(rows)
    wanted = np.repeat(query_ids, counts) << _KEY_BITS | key_ids
    wanted[key_ids < 0] = -1
    queries = np.unique(query_ids)
    pairs, records = _read(txn, store, space, queries[queries >= 0])
    answer = np.full((space.channels, len(wanted)), np.nan, np.float32)
    if len(pairs):
        at = np.searchsorted(pairs, wanted)
        at[at == len(pairs)] = 0
        hit = pairs[at] == wanted
        answer[:, hit] = records[at[hit], 1:].view(np.float16).T
    return np.split(answer, np.cumsum(counts)[:-1], axis=1)


def load_pairs(txn: Transaction, store: Store, space: Space, vocabulary: Sequence[str]) -> Pairs:
    """Pairs whose words are both in ``vocabulary``, as indices into it; see ``BulkCache``."""
    ids = store.vocabulary.ids(vocabulary)
    known = ids[ids >= 0]
    index = np.full(len(store.vocabulary), -1, np.int64)
    index[known] = np.flatnonzero(ids >= 0)
    if len(known) * _SCAN_SHARE >= len(index):
        pairs, records = _unpacked(*_lists(records_of(txn, store.pairs, space.id)), space)
    else:
        pairs, records = _read(txn, store, space, np.unique(known))
    queries, keys = index.take(pairs >> _KEY_BITS), index.take(pairs & _KEY_MASK)
    scores = records[:, 1:].view(np.float16)
    wanted = (queries >= 0) & (keys >= 0)
    if not wanted.all():
        queries, keys, scores = queries[wanted], keys[wanted], scores[wanted]
    return queries, keys, np.ascontiguousarray(scores.T)


def scan_pairs(
    txn: Transaction, store: Store, space: Space, after: bytes
) -> tuple[list[tuple[Row, Scores]], bytes | None]:
    """A portion of the PAIR rows, from the key ``after`` on; and where the next one starts."""
    found = records_of(txn, store.pairs, space.id, after)
    keys, values = _lists(islice(found, _PORTION))
    if not keys:
        return [], None
    following = None
    for key, value in found:
        if key[:_QUERY_KEY] != keys[-1][:_QUERY_KEY]:
            following = key
            break
        keys.append(key)
        values.append(value)
    pairs, records = _unpacked(keys, values, space)
    words = store.vocabulary.words
    starts = np.flatnonzero(np.diff(pairs >> _KEY_BITS, prepend=-1))
    rows = []
    for start, end in zip(starts, [*starts[1:], len(pairs)], strict=True):
        row = Row(
            words[int(pairs[start] >> _KEY_BITS)],
            tuple(words[i] for i in (pairs[start:end] & _KEY_MASK).tolist()),
        )
        rows.append((row, records[start:end, 1:].view(np.float16).T.astype(np.float32)))
    return rows, following


def _read(
    txn: Transaction, store: Store, space: Space, queries: NDArray[np.int64]
) -> tuple[PairIds, Records]:
    """All stored pairs of the query ids ``queries`` (sorted, each once)."""
    get, table, pack, number = txn.get, store.pairs, PAIR_KEY.pack, space.id
    blocks = range((max(len(store.vocabulary), 1) - 1 >> _HALF_BITS) + 1)
    keys: list[bytes] = []
    values: list[bytes] = []
    cursor = txn.cursor(table)
    for query in queries.tolist():
        before = len(keys)
        for block in blocks:
            key = pack(number, query, block)
            value = get(key, db=table)
            if value is not None:
                keys.append(key)
                values.append(value)
        first = pack(number, query, 0)
        lost = len(keys) == before and cursor.set_range(first)
        if lost and cursor.key()[:_QUERY_KEY] == first[:_QUERY_KEY]:
            raise damaged("one of a word's rows has the key of words that are not there")
    return _unpacked(keys, values, space)


def _lists(found: Iterable[tuple[bytes, bytes]]) -> tuple[list[bytes], list[bytes]]:
    """Keys and values apart: the garbage collector walks a list of tuples again and again."""
    keys: list[bytes] = []
    values: list[bytes] = []
    for key, value in found:
        keys.append(key)
        values.append(value)
    return keys, values


def _unpacked(
    keys: Sequence[bytes], values: Sequence[bytes], space: Space
) -> tuple[PairIds, Records]:
    """The pairs of keys with their values; raises CacheError if one of them is damaged."""
    width = 2 + 2 * space.channels
    bodies = [value[SEALED:] for value in values]
    lengths = np.fromiter(map(len, bodies), np.int64, len(bodies))
    together = b"".join(keys)
    kept = b"".join([value[:SEALED] for value in values])
    if len(together) != len(keys) * PAIR_KEY.size or (lengths % width).any():
        raise damaged()
    if _checksums(together, bodies) != kept:
        raise damaged()
    records = np.frombuffer(b"".join(bodies), "<u2").reshape(-1, width // 2)
    fields = np.frombuffer(together, _KEY)
    bases = fields["query"].astype(np.int64) << _KEY_BITS
    bases |= fields["block"].astype(np.int64) << _HALF_BITS
    pairs = np.repeat(bases, lengths // width)
    pairs += records[:, 0]
    return pairs, records
