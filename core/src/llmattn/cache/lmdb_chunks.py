"""Bytes of a chunk: PREFIX rows one after the other, each text's tokens written once. No I/O.

checksum of the directory, number of rows R, number of new ids, R lengths in tokens, R numbers
of tokens shared with the row before, the new ids; then each row: checksum, scores (C, n) f16.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, groupby
from operator import itemgetter

import numpy as np
from attrs import frozen

from llmattn.cache.lmdb_layout import CHUNK_KEY, ID_BYTES, PLACE, SEALED, check, prefix_key, seal

__all__ = ["ChunkRow", "Text", "chunked", "make_chunks", "row_bytes", "unpack_chunk"]

_HEAD = struct.Struct("<III")
_CHUNK_BYTES = 1 << 17
"""Scores after which a chunk ends: one row is read at the price of copying its chunk (10 us),
and half a page is lost at the end of each (2%)."""
Text = tuple[bytes, bytes]
"""Token ids of a row, and its scores (C, n)."""


@frozen
class ChunkRow:
    """A row in a chunk: its token ids (u32) and its scores (C, n) f16, None if damaged."""

    ids: bytes
    offset: int
    scores: bytes | None


def row_bytes(tokens: int, channels: int) -> int:
    """Bytes of a row in a chunk, its checksum included."""
    return SEALED + 2 * channels * tokens


def _pack_chunk(texts: Sequence[bytes], scores: Sequence[bytes]) -> tuple[bytes, list[int]]:
    """A chunk of rows, given by their token ids and scores; and where in it each row begins."""
    shared, new = [], []
    before = b""
    for ids in texts:
        known = len(before) if ids.startswith(before) else 0
        shared.append(known // ID_BYTES)
        new.append(ids[known:])
        before = ids
    lengths = [len(ids) // ID_BYTES for ids in texts]
    fresh = b"".join(new)
    counts = np.array([len(texts), len(fresh) // ID_BYTES, *lengths, *shared], "<u4")
    directory = seal(counts.tobytes() + fresh)
    records = list(map(seal, scores))
    offsets = list(accumulate(map(len, records), initial=len(directory)))[:-1]
    return directory + b"".join(records), offsets


def unpack_chunk(value: bytes) -> Iterator[ChunkRow] | None:
    """The rows of a chunk; None if its directory is damaged."""
    if len(value) < _HEAD.size:
        return None
    checksum, rows, new = _HEAD.unpack_from(value)
    body = _HEAD.size + ID_BYTES * (2 * rows + new)
    if zlib.crc32(value[SEALED:body]) != checksum or len(value) < body:
        return None
    lengths = np.frombuffer(value, "<u4", rows, _HEAD.size)
    shared = np.frombuffer(value, "<u4", rows, _HEAD.size + ID_BYTES * rows)
    tokens = int(lengths.sum())
    scores = len(value) - body - SEALED * rows
    if not tokens or scores % tokens or (lengths < shared).any():
        return None
    sizes = (lengths.astype(np.int64) * (scores // tokens) + SEALED).tolist()
    fresh = value[body - ID_BYTES * new : body]
    return _rows(value, fresh, shared.tolist(), lengths.tolist(), body, sizes)


def _rows(
    value: bytes, fresh: bytes, shared: list[int], lengths: list[int], at: int, sizes: list[int]
) -> Iterator[ChunkRow]:
    ids, used = b"", 0
    for known, length, size in zip(shared, lengths, sizes, strict=True):
        end = used + ID_BYTES * (length - known)
        ids, used = ids[: ID_BYTES * known] + fresh[used:end], end
        record = value[at : at + size]
        yield ChunkRow(ids, at, record[SEALED:] if check(record) else None)
        at += size


def make_chunks(
    texts: Iterable[tuple[bytes, Text]],
) -> Iterator[tuple[bytes, list[tuple[bytes, tuple[int, int]]]]]:
    """Chunks of ``texts``, each with the key of its rows, their offsets, and their tokens."""
    keys: list[bytes] = []
    ids: list[bytes] = []
    scores: list[bytes] = []
    size = 0

    def chunk() -> tuple[bytes, list[tuple[bytes, tuple[int, int]]]]:
        value, offsets = _pack_chunk(ids, scores)
        lengths = [len(text) // ID_BYTES for text in ids]
        return value, list(zip(keys, zip(offsets, lengths, strict=True), strict=True))

    for key, (text, values) in texts:
        if size and size + len(values) > _CHUNK_BYTES:
            yield chunk()
            keys, ids, scores, size = [], [], [], 0
        keys.append(key)
        ids.append(text)
        scores.append(values)
        size += len(values)
    if keys:
        yield chunk()


def chunked(
    texts: Iterator[tuple[int, bytes, bytes]],
) -> tuple[Iterator[tuple[bytes, bytes]], Iterator[tuple[bytes, bytes]]]:
    """``texts`` (ascending by space) as records of new chunks, and those of their index.

    The chunks have to be used up before the index; of rows of one text the last is found.
    """
    places: dict[bytes, bytes] = {}

    def chunks() -> Iterator[tuple[bytes, bytes]]:
        for space, group in groupby(texts, itemgetter(0)):
            keyed = ((prefix_key(space, ids), (ids, scores)) for _, ids, scores in group)
            for number, (chunk, found) in enumerate(make_chunks(keyed), start=1):
                places.update((key, PLACE.pack(number, *place)) for key, place in found)
                yield CHUNK_KEY.pack(space, number), chunk

    def index() -> Iterator[tuple[bytes, bytes]]:
        yield from sorted(places.items())

    return chunks(), index()
