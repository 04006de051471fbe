"""Bytes of the LMDB layout, version 2: keys, packed rows, checksums. No I/O.

``meta``        ``layout`` -> the layout's version; ``epoch`` -> changes when ids are renumbered
``namespaces``  namespace -> JSON: id, identity, created, updated, usage
``tokens``      first id (u32) -> checksum + JSON list of words: ids count up from there
``pairs``       namespace id, query id, high half of the key id -> checksum + n records of
                (low half of the key id u16, C scores f16), sorted by key id
``texts``       namespace id, number -> a chunk of PREFIX rows; see ``lmdb_chunks``
``prefixes``    namespace id, hashes of the token ids -> number of the chunk, where in it the row
                begins, its tokens (u32 each). A row put anew goes to a new chunk.

Keys are big-endian so that they sort; values are little-endian. A checksum is the CRC-32 of
what follows it. Float16 has 11 bits: more than any provider's scale, at half the size.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from llmattn.cache.batch import Half
from llmattn.untrusted import from_json

__all__ = [
    "CHUNK_KEY",
    "DATABASES",
    "ID_BYTES",
    "ID_KEY",
    "LAYOUT",
    "PAIR_KEY",
    "PLACE",
    "PREFIX_HASH",
    "SEALED",
    "anchor",
    "check",
    "joint_hash",
    "pack_pairs",
    "pack_words",
    "pair_keys",
    "pair_records",
    "prefix_key",
    "seal",
    "unpack_pairs",
    "unpack_words",
]

LAYOUT = 2
DATABASES = (b"meta", b"namespaces", b"tokens", b"pairs", b"texts", b"prefixes")
ID_BYTES = 4
PAIR_KEY = struct.Struct(">IIH")
ID_KEY = struct.Struct(">I")
CHUNK_KEY = struct.Struct(">II")
PLACE = struct.Struct(">III")
"""Value in the index of PREFIX rows."""
PREFIX_HASH = 16
"""Bytes of the hashes in a prefix key."""
_START_HASH = 6
_TOGETHER = 16
SEALED = 4
"""Bytes of the checksum before each value."""
_CRC = struct.Struct("<I")


def seal(body: bytes) -> bytes:
    """``body`` behind its checksum."""
    return _CRC.pack(zlib.crc32(body)) + body


def check(value: bytes) -> bool:
    """Whether a sealed value is whole."""
    return len(value) >= SEALED and _CRC.unpack_from(value)[0] == zlib.crc32(value[SEALED:])


def pair_records(keys: NDArray[np.int64], scores: Half) -> NDArray[np.uint16]:
    """Records (N, 1 + C) of key ids (N,) and scores (N, C)."""
    records = np.empty((len(keys), 1 + scores.shape[1]), "<u2")
    records[:, 0] = keys & 0xFFFF
    records[:, 1:] = scores.view(np.uint16)
    return records


def pair_keys(space: int, segments: NDArray[np.int64]) -> list[bytes]:
    """Keys of values: ``segments`` holds query id << 16 | high half of the key ids."""
    fields = np.empty(len(segments), [("space", ">u4"), ("query", ">u4"), ("block", ">u2")])
    fields["space"] = space
    fields["query"] = segments >> 16
    fields["block"] = segments & 0xFFFF
    return cut(fields.tobytes(), np.arange(len(segments)) * PAIR_KEY.size)


def pack_pairs(records: NDArray[np.uint16], starts: NDArray[np.int64]) -> list[bytes]:
    """Sealed values of records (N, 1 + C), a new value beginning at each of ``starts``."""
    bodies = cut(records.tobytes(), starts * (records.itemsize * records.shape[1]))
    sums = np.fromiter(map(zlib.crc32, bodies), "<u4", len(bodies)).tobytes()
    seals = cut(sums, np.arange(len(bodies)) * SEALED)
    return [head + body for head, body in zip(seals, bodies, strict=True)]


def cut(data: bytes, starts: NDArray[np.int64]) -> list[bytes]:
    """``data`` in pieces that begin at ``starts``."""
    edges = [*starts.tolist(), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def unpack_pairs(
    values: Sequence[bytes], channels: int
) -> tuple[NDArray[np.int64], NDArray[np.uint16]] | None:
    """Records of sealed values one after the other; None if one of them is damaged.

    Returns the number of records in each value, and all records (N, 1 + C).
    """
    width = 2 * (1 + channels)
    bodies = [value[SEALED:] for value in values]
    lengths = np.fromiter(map(len, bodies), np.int64, len(bodies))
    found = np.fromiter(map(zlib.crc32, bodies), "<u4", len(bodies))
    kept = b"".join([value[:SEALED] for value in values])
    if found.tobytes() != kept or (lengths % width).any():
        return None
    return lengths // width, np.frombuffer(b"".join(bodies), "<u2").reshape(-1, 1 + channels)


def prefix_key(space: int, ids: bytes) -> bytes:
    """Where the row of the last of ``ids`` (u32) is found, the others being its context.

    Rows of one text lie together in the index, behind a hash of what they all begin with: so
    putting them changes few of its pages.
    """
    start = ids[: ID_BYTES * anchor(len(ids) // ID_BYTES)]
    return ID_KEY.pack(space) + joint_hash(
        _digest(start), blake2b(ids, digest_size=PREFIX_HASH).digest()
    )


def anchor(tokens: int) -> int:
    """With how many tokens the rows begin near which that of a text of ``tokens`` is found."""
    return max((tokens - 1) // _TOGETHER * _TOGETHER, 1)


def joint_hash(start: bytes, text: bytes) -> bytes:
    """Of the digests of a text's first tokens and of all of it."""
    return start[:_START_HASH] + text[_START_HASH:]


@lru_cache(maxsize=64)
def _digest(ids: bytes) -> bytes:
    return blake2b(ids, digest_size=PREFIX_HASH).digest()


def pack_words(words: Sequence[str]) -> bytes:
    """JSON in ASCII: any string survives, lone surrogates too."""
    return seal(json.dumps(list(words), separators=(",", ":")).encode("ascii"))


def unpack_words(value: bytes) -> list[str]:
    """The words of a sealed value."""
    words: list[str] = from_json(value[SEALED:])
    return words
