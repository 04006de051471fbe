"""PREFIX rows in and out of a transaction: chunks of rows, and an index by hash.

A chunk writes the tokens of a text once: checksum of the chunk's key and what follows up to the
rows, number of rows R, number of new ids, R lengths in tokens, R numbers of tokens shared with the
row before, the new ids (all u32); then each row: checksum of its key in the index and its scores,
scores (C, n) f16. A row that is put anew goes to a new chunk; a row at which the index does not
point is an old version.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

import numpy as np
from attrs import frozen

from llmattn.cache.checks import Half, nothing_known
from llmattn.cache.lmdb.layout import (
    CHUNK_KEY,
    ID_BYTES,
    ID_KEY,
    PLACE,
    SEALED,
    Space,
    check,
    prefix_key,
    seal,
)
from llmattn.cache.lmdb.opening import Records
from llmattn.cache.lmdb.store import Store, Transaction, damaged, records_of
from llmattn.cache.lmdb.vocabulary import Interning
from llmattn.rows import Row, Scores

__all__ = [
    "ChunkRow",
    "chunked",
    "get_texts",
    "live_texts",
    "put_texts",
    "scan_texts",
    "unpack_chunk",
]

_HEAD = struct.Struct("<III")
_CHUNK_BYTES = 1 << 17
"""Scores after which a chunk ends: one row is read at the price of copying its chunk (10 us),
and half a page is lost at the end of each (2%)."""
_AS_FLOAT32 = np.arange(1 << 16, dtype="<u2").view("<f2").astype(np.float32)
"""Every float16 by its bits: looking it up takes half the time of converting it."""
_PORTION = 256
"""Rows that a scan reads in one transaction, at least."""
Text = tuple[bytes, bytes]
"""Token ids of a row, and its scores (C, n)."""


@frozen
class ChunkRow:
    """A row in a chunk: its token ids (u32) and its scores (C, n) f16, None if damaged.

    ``key``: that of the row in the index.
    """

    key: bytes
    ids: bytes
    offset: int
    scores: bytes | None

    def place(self, number: int) -> bytes:
        """Where the index finds the row, if it is in the chunk of this number."""
        return PLACE.pack(number, self.offset, len(self.ids) // ID_BYTES)


class _Reader:
    """Scores of rows by key; the chunk read last is kept, since rows of a text lie together."""

    def __init__(self, txn: Transaction, store: Store, space: Space) -> None:
        self._txn = txn
        self._store = store
        self._space = space.id
        self._token_bytes = 2 * space.channels
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
        size = SEALED + self._token_bytes * tokens
        record = self._chunk[offset : offset + size]
        if len(record) != size or not check(key, record):
            raise damaged()
        return record[SEALED:]


def put_texts(
    txn: Transaction,
    store: Store,
    interning: Interning,
    space: Space,
    rows: Sequence[Row],
    halves: Half,
) -> None:
    """Merge scores (N, C) of PREFIX rows into what is stored."""
    reader = _Reader(txn, store, space)
    by_channel = halves.T.astype("<f2", copy=False)
    fresh: dict[bytes, Text] = {}
    start = 0
    for row, ids in zip(rows, interning.key_ids(rows), strict=True):
        end = start + len(row.keys)
        key = prefix_key(space.id, ids)
        scores = by_channel[:, start:end].tobytes()
        before = fresh[key][1] if key in fresh else reader.scores(key)
        if before is not None:
            scores = _merged(scores, before)
        if scores != before:  # what is there already would only make the file grow
            fresh[key] = ids, scores
        start = end
    number = _last_chunk(txn, store, space.id)
    places: list[tuple[bytes, bytes]] = []
    for key, chunk, found in _make_chunks(space.id, number + 1, fresh.items()):
        txn.put(key, chunk, db=store.texts)
        places += found
    txn.cursor(store.prefixes).putmulti(sorted(places))


def _merged(scores: bytes, before: bytes) -> bytes:
    new, old = np.frombuffer(scores, "<f2"), np.frombuffer(before, "<f2")
    return np.where(np.isnan(new), old, new).tobytes()


def _last_chunk(txn: Transaction, store: Store, space: int) -> int:
    """The number of the last chunk of a namespace, 0 if it has none."""
    cursor = txn.cursor(store.texts)
    if not (cursor.prev() if cursor.set_range(ID_KEY.pack(space + 1)) else cursor.last()):
        return 0
    holder, number = CHUNK_KEY.unpack(cursor.key())
    return int(number) if holder == space else 0


def get_texts(txn: Transaction, store: Store, space: Space, rows: Sequence[Row]) -> list[Scores]:
    """Scores (C, n) of PREFIX rows, NaN where unknown."""
    reader = _Reader(txn, store, space)
    channels = space.channels
    found = [reader.scores(prefix_key(space.id, ids)) for ids in store.vocabulary.key_ids(rows)]
    together = _AS_FLOAT32.take(np.frombuffer(b"".join(filter(None, found)), "<u2"))
    answers = []
    end = 0
    for row, scores in zip(rows, found, strict=True):
        if scores is None:
            answers.append(nothing_known(space.identity, row))
        else:
            start, end = end, end + channels * len(row.keys)
            answers.append(together[start:end].reshape(channels, -1))
    return answers


def scan_texts(
    txn: Transaction, store: Store, space: Space, after: bytes
) -> tuple[list[tuple[Row, Scores]], bytes | None]:
    """A portion of the PREFIX rows, from the chunk ``after`` on; and where the next one starts."""
    words = store.vocabulary.words
    rows: list[tuple[Row, Scores]] = []
    for key, value in records_of(txn, store.texts, space.id, after):
        if len(rows) >= _PORTION:
            return rows, key
        for ids, scores in _live(txn, store, key, value):
            text = tuple(map(words.__getitem__, np.frombuffer(ids, "<u4").tolist()))
            values = np.frombuffer(scores, "<f2").reshape(space.channels, len(text))
            rows.append((Row(text[-1], text, text[:-1]), values.astype(np.float32)))
    return rows, None


def live_texts(txn: Transaction, store: Store) -> Iterator[tuple[int, bytes, bytes]]:
    """Space, token ids and scores of every row, without those that were put anew since."""
    for key, value in txn.cursor(store.texts):
        space, _ = CHUNK_KEY.unpack(key)
        for ids, scores in _live(txn, store, key, value):
            yield space, ids, scores


def _live(txn: Transaction, store: Store, key: bytes, value: bytes) -> Iterator[Text]:
    """The rows of a chunk at which the index points. Raises CacheError if it is damaged."""
    rows = unpack_chunk(key, value)
    if rows is None:
        raise damaged()
    _, number = CHUNK_KEY.unpack(key)
    for row in rows:
        place = txn.get(row.key, db=store.prefixes)
        if place is None:
            raise damaged("a text that the index does not know")
        if place == row.place(number):
            if row.scores is None:
                raise damaged()
            yield row.ids, row.scores


def chunked(texts: Iterator[tuple[int, bytes, bytes]]) -> tuple[Records, Records]:
    """``texts`` (ascending by space) as records of new chunks, and those of their index.

    The chunks have to be used up before the index; of rows of one text the last is found.
    """
    places: dict[bytes, bytes] = {}

    def chunks() -> Records:
        for space, group in groupby(texts, itemgetter(0)):
            keyed = ((prefix_key(space, ids), (ids, scores)) for _, ids, scores in group)
            for key, chunk, found in _make_chunks(space, 1, keyed):
                places.update(found)
                yield key, chunk

    def index() -> Records:
        yield from sorted(places.items())

    return chunks(), index()


def _make_chunks(
    space: int, number: int, texts: Iterable[tuple[bytes, Text]]
) -> Iterator[tuple[bytes, bytes, list[tuple[bytes, bytes]]]]:
    """Keys and values of chunks of ``texts``, numbered from ``number`` on; each with the records
    of the index that point to its rows.
    """
    part: list[tuple[bytes, Text]] = []
    size = 0
    for key, text in texts:
        if size and size + len(text[1]) > _CHUNK_BYTES:
            yield _pack_chunk(space, number, part)
            part, size, number = [], 0, number + 1
        part.append((key, text))
        size += len(text[1])
    if part:
        yield _pack_chunk(space, number, part)


def _pack_chunk(
    space: int, number: int, texts: Sequence[tuple[bytes, Text]]
) -> tuple[bytes, bytes, list[tuple[bytes, bytes]]]:
    shared, lengths, new = [], [], []
    before = b""
    for _, (ids, _) in texts:
        known = len(before) if ids.startswith(before) else 0
        shared.append(known // ID_BYTES)
        lengths.append(len(ids) // ID_BYTES)
        new.append(ids[known:])
        before = ids
    fresh = b"".join(new)
    counts = np.array([len(texts), len(fresh) // ID_BYTES, *lengths, *shared], "<u4")
    chunk_key = CHUNK_KEY.pack(space, number)
    directory = seal(chunk_key, counts.tobytes() + fresh)
    records = [seal(key, scores) for key, (_, scores) in texts]
    places: list[tuple[bytes, bytes]] = []
    at = len(directory)
    for (key, _), length, record in zip(texts, lengths, records, strict=True):
        places.append((key, PLACE.pack(number, at, length)))
        at += len(record)
    return chunk_key, directory + b"".join(records), places


def unpack_chunk(key: bytes, value: bytes) -> Iterator[ChunkRow] | None:
    """The rows of a chunk; None if its directory is damaged, or that of another key."""
    if len(key) != CHUNK_KEY.size or len(value) < _HEAD.size:
        return None
    _, rows, new = _HEAD.unpack_from(value)
    body = _HEAD.size + ID_BYTES * (2 * rows + new)
    if len(value) < body or not check(key, value[:body]):
        return None
    lengths = np.frombuffer(value, "<u4", rows, _HEAD.size)
    shared = np.frombuffer(value, "<u4", rows, _HEAD.size + ID_BYTES * rows)
    tokens = int(lengths.sum())
    scores = len(value) - body - SEALED * rows
    if not tokens or scores % tokens or (lengths < shared).any():
        return None
    sizes = (lengths.astype(np.int64) * (scores // tokens) + SEALED).tolist()
    fresh = value[body - ID_BYTES * new : body]
    cut = list(zip(shared.tolist(), lengths.tolist(), sizes, strict=True))
    return _rows(CHUNK_KEY.unpack(key)[0], value, fresh, cut, body)


def _rows(
    space: int, value: bytes, fresh: bytes, cut: list[tuple[int, int, int]], at: int
) -> Iterator[ChunkRow]:
    ids, used = b"", 0
    for known, length, size in cut:
        end = used + ID_BYTES * (length - known)
        ids, used = ids[: ID_BYTES * known] + fresh[used:end], end
        key, record = prefix_key(space, ids), value[at : at + size]
        yield ChunkRow(key, ids, at, record[SEALED:] if check(key, record) else None)
        at += size
