"""PREFIX rows in and out of an LMDB transaction: chunks of rows, and an index by hash."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from llmattn.cache.batch import Half, key_counts, unknown
from llmattn.cache.lmdb_chunks import Text, make_chunks, row_bytes, unpack_chunk
from llmattn.cache.lmdb_layout import (
    CHUNK_KEY,
    ID_BYTES,
    ID_KEY,
    PLACE,
    SEALED,
    check,
    prefix_key,
)
from llmattn.cache.lmdb_rows import all_keys, damaged
from llmattn.cache.lmdb_store import Store, Transaction
from llmattn.cache.vocabulary import Interning
from llmattn.identity import Identity
from llmattn.rows import Row, Scores

__all__ = [
    "get_texts",
    "live_texts",
    "measure_texts",
    "put_texts",
    "scan_texts",
]

_AS_FLOAT32 = np.arange(1 << 16, dtype="<u2").view("<f2").astype(np.float32)
"""Every float16 by its bits: looking it up takes half the time of converting it."""
_PORTION = 256
"""Rows that a scan reads in one transaction, at least."""


class _Reader:
    """Scores of rows by key; the chunk read last is kept, since rows of a text lie together."""

    def __init__(self, txn: Transaction, store: Store, space: int, channels: int) -> None:
        self._txn = txn
        self._store = store
        self._space = space
        self._channels = channels
        self._number = 0
        self._chunk = b""

    def scores(self, key: bytes) -> bytes | None:
        """Scores (C, n), or None if the row is not there; raises CacheError if it is damaged."""
        place = self._txn.get(key, db=self._store.prefixes)
        if place is None:
            return None
        number, offset, tokens = PLACE.unpack(place)
        if number != self._number:
            chunk = self._txn.get(CHUNK_KEY.pack(self._space, number), db=self._store.texts)
            self._number, self._chunk = number, chunk or b""
        size = row_bytes(tokens, self._channels)
        record = self._chunk[offset : offset + size]
        if len(record) != size or not check(record):
            raise damaged()
        return record[SEALED:]


def put_texts(
    txn: Transaction,
    store: Store,
    interning: Interning,
    space: int,
    rows: Sequence[Row],
    halves: Half,
) -> None:
    """Merge scores (N, C) of PREFIX rows into what is stored."""
    packed = interning.packed_ids(all_keys(rows))
    reader = _Reader(txn, store, space, halves.shape[1])
    by_channel = halves.T.astype("<f2", copy=False)
    fresh: dict[bytes, Text] = {}
    end = 0
    for tokens in key_counts(rows).tolist():
        start, end = end, end + tokens
        ids = packed[ID_BYTES * start : ID_BYTES * end]
        key = prefix_key(space, ids)
        scores = by_channel[:, start:end].tobytes()
        before = fresh[key][1] if key in fresh else reader.scores(key)
        if before is not None:
            scores = _merged(scores, before)
        if scores != before:  # what is there already would only make the file grow
            fresh[key] = ids, scores
    _write(txn, store, space, fresh)


def _merged(scores: bytes, before: bytes) -> bytes:
    new, old = np.frombuffer(scores, "<f2"), np.frombuffer(before, "<f2")
    return np.where(np.isnan(new), old, new).tobytes()


def _write(txn: Transaction, store: Store, space: int, fresh: dict[bytes, Text]) -> None:
    number = _last_chunk(txn, store, space)
    places: list[tuple[bytes, bytes]] = []
    for chunk, found in make_chunks(fresh.items()):
        number += 1
        txn.put(CHUNK_KEY.pack(space, number), chunk, db=store.texts)
        places += [(key, PLACE.pack(number, *place)) for key, place in found]
    txn.cursor(store.prefixes).putmulti(sorted(places))


def _last_chunk(txn: Transaction, store: Store, space: int) -> int:
    """The number of the last chunk of a namespace, 0 if it has none."""
    cursor = txn.cursor(store.texts)
    if not (cursor.prev() if cursor.set_range(ID_KEY.pack(space + 1)) else cursor.last()):
        return 0
    holder, number = CHUNK_KEY.unpack(cursor.key())
    return int(number) if holder == space else 0


def get_texts(
    txn: Transaction, store: Store, space: int, identity: Identity, rows: Sequence[Row]
) -> list[Scores]:
    """Scores (C, n) of PREFIX rows, NaN where unknown."""
    channels = len(identity.channels)
    packed = store.vocabulary.packed_ids(all_keys(rows))
    reader = _Reader(txn, store, space, channels)
    found: list[bytes | None] = []
    end = 0
    for tokens in key_counts(rows).tolist():
        start, end = end, end + ID_BYTES * tokens
        found.append(reader.scores(prefix_key(space, packed[start:end])))
    halves = np.frombuffer(b"".join(filter(None, found)), "<u2")
    together = _AS_FLOAT32.take(halves)
    answers = []
    end = 0
    for row, scores in zip(rows, found, strict=True):
        if scores is None:
            answers.append(unknown(identity, row))
        else:
            start, end = end, end + channels * len(row.keys)
            answers.append(together[start:end].reshape(channels, -1))
    return answers


def scan_texts(
    txn: Transaction, store: Store, space: int, channels: int, after: bytes
) -> tuple[list[tuple[Row, Scores]], bytes | None]:
    """A portion of the PREFIX rows, from the chunk ``after`` on; and where the next one starts."""
    cursor = txn.cursor(store.texts)
    prefix = ID_KEY.pack(space)
    found = cursor.set_range(after or prefix)
    words = store.vocabulary.words
    rows: list[tuple[Row, Scores]] = []
    while found and cursor.key().startswith(prefix):
        if len(rows) >= _PORTION:
            return rows, cursor.key()
        for ids, scores in _live(txn, store, cursor.key(), cursor.value()):
            text = tuple(map(words.__getitem__, np.frombuffer(ids, "<u4").tolist()))
            values = np.frombuffer(scores, "<f2").reshape(channels, len(text))
            rows.append((Row(text[-1], text, text[:-1]), values.astype(np.float32)))
        found = cursor.next()
    return rows, None


def live_texts(txn: Transaction, store: Store) -> Iterator[tuple[int, bytes, bytes]]:
    """Space, token ids and scores of every row, without those that were put anew since."""
    for key, value in txn.cursor(store.texts):
        space, _ = CHUNK_KEY.unpack(key)
        for ids, scores in _live(txn, store, key, value):
            yield space, ids, scores


def _live(txn: Transaction, store: Store, key: bytes, value: bytes) -> Iterator[Text]:
    """The rows of a chunk at which the index points. Raises CacheError if it is damaged."""
    space, number = CHUNK_KEY.unpack(key)
    rows = unpack_chunk(value)
    if rows is None:
        raise damaged()
    for row in rows:
        place = PLACE.pack(number, row.offset, len(row.ids) // ID_BYTES)
        if txn.get(prefix_key(space, row.ids), db=store.prefixes) == place:
            if row.scores is None:
                raise damaged()
            yield row.ids, row.scores


def measure_texts(txn: Transaction, store: Store, space: int) -> tuple[int, int, int]:
    """Rows, positions (known or not) and bytes of a namespace's PREFIX rows."""
    rows = tokens = size = 0
    prefix = ID_KEY.pack(space)
    for table in (store.prefixes, store.texts):
        cursor = txn.cursor(table)
        found = cursor.set_range(prefix)
        while found and bytes(cursor.key()).startswith(prefix):
            key, value = cursor.item()
            size += len(key) + len(value)
            if table is store.prefixes:
                rows += 1
                tokens += PLACE.unpack(value)[2]
            found = cursor.next()
    return rows, tokens, size
