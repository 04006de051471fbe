"""Keys, checksums and small records of the file; docs/cache-format.md has all of it. No I/O.

``meta``        ``layout`` -> its version; ``last namespace`` -> the highest number given so far
``namespaces``  namespace -> twice the same: JSON of number, identity, created, updated, usage
``tokens``      first id -> JSON list of words: ids count up from there
``pairs``       namespace's number, query id, high half of the key ids -> see ``pairs``
``texts``       namespace's number, chunk's number -> a chunk of PREFIX rows, see ``texts``
``prefixes``    namespace's number, hashes of the token ids -> where the row is (``PLACE``)

Keys are big-endian so that they sort; values are little-endian. Every value is sealed: it begins
with the CRC-32 of its key and what follows, so no record passes for another's.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b

from attrs import asdict, frozen

from llmattn.identity import Identity
from llmattn.untrusted import WRONG_DATA, build, from_json
from llmattn.usage import Usage

__all__ = [
    "CHUNK_KEY",
    "DATABASES",
    "ID_BYTES",
    "ID_KEY",
    "LAST_SPACE",
    "LAYOUT",
    "LAYOUT_KEY",
    "LAYOUT_VALUE",
    "MOVED",
    "PAIR_KEY",
    "PLACE",
    "PREFIX_HASH",
    "SEALED",
    "Space",
    "check",
    "last_number",
    "pack_words",
    "prefix_key",
    "seal",
    "unpack_words",
]

LAYOUT = b"3"
LAYOUT_KEY = b"layout"
DATABASES = (b"meta", b"namespaces", b"tokens", b"pairs", b"texts", b"prefixes")
LAST_SPACE = b"last namespace"
MOVED = b"moved"
"""Stands in the meta table of a file whose records were written to another one."""
ID_BYTES = 4
"""Bytes of a word's id in values (u32)."""
ID_KEY = struct.Struct(">I")
PAIR_KEY = struct.Struct(">IIH")
CHUNK_KEY = struct.Struct(">II")
PLACE = struct.Struct(">III")
"""Number of the chunk, where in it the row begins, how many tokens it has."""
PREFIX_HASH = 16
"""Bytes of the hashes in a prefix key."""
SEALED = 4
"""Bytes of the checksum before each value."""
_START_HASH = 6
_TOGETHER = 16
_CRC = struct.Struct("<I")


def seal(key: bytes, body: bytes) -> bytes:
    """``body`` behind the checksum of ``key`` and itself."""
    return _CRC.pack(zlib.crc32(body, zlib.crc32(key))) + body


def check(key: bytes, value: bytes) -> bool:
    """Whether a sealed value is whole, and that of ``key``."""
    if len(value) < SEALED:
        return False
    return bool(_CRC.unpack_from(value)[0] == zlib.crc32(value[SEALED:], zlib.crc32(key)))


LAYOUT_VALUE = seal(LAYOUT_KEY, LAYOUT)


def last_number(value: bytes | None) -> int:
    """The highest number given to a namespace, as ``meta`` has it; 0 if it has none.

    Raises ValueError if it is damaged: a number that serves twice would mix two namespaces.
    """
    if value is None:
        return 0
    if not check(LAST_SPACE, value):
        raise ValueError("the highest number of a namespace has a wrong checksum")
    return int(value[SEALED:])


def prefix_key(space: int, ids: bytes) -> bytes:
    """Where the row of the last of ``ids`` (u32) is found, the others being its context.

    Rows of one text lie together in the index, behind a hash of what they all begin with: so
    putting them changes few of its pages.
    """
    together = max((len(ids) // ID_BYTES - 1) // _TOGETHER * _TOGETHER, 1)
    start = _digest(ids[: ID_BYTES * together])
    text = blake2b(ids, digest_size=PREFIX_HASH).digest()
    return ID_KEY.pack(space) + start[:_START_HASH] + text[_START_HASH:]


@lru_cache(maxsize=64)
def _digest(ids: bytes) -> bytes:
    return blake2b(ids, digest_size=PREFIX_HASH).digest()


def pack_words(key: bytes, words: Sequence[str]) -> bytes:
    """JSON in ASCII: any string survives, lone surrogates too."""
    return seal(key, json.dumps(list(words), separators=(",", ":")).encode("ascii"))


def unpack_words(value: bytes) -> list[str]:
    """The words of a sealed value."""
    words: list[str] = from_json(value[SEALED:])
    return words


@lru_cache(maxsize=64)  # each put would spend a tenth of its time here
def _key_of(identity: Identity) -> bytes:
    return identity.namespace.encode()


@frozen
class Space:
    """A namespace's record: what its scores are of, and the number that stands for it in keys."""

    id: int
    identity: Identity
    created: float
    updated: float
    usage: Usage

    @property
    def channels(self) -> int:
        """C."""
        return len(self.identity.channels)

    @property
    def key(self) -> bytes:
        """The namespace, which is the hash of the identity."""
        return _key_of(self.identity)

    @classmethod
    @lru_cache(maxsize=64)  # a read of one row would spend a tenth of its time here
    def from_value(cls, value: bytes) -> Space:
        """What :meth:`to_value` wrote, from the first of its two copies that is whole.

        Raises ValueError if neither is.
        """
        half = len(value) // 2
        space = cls._from_copy(value[:half]) or cls._from_copy(value[half:])
        if space is None:
            raise ValueError("neither of its two copies is whole")
        return space

    @classmethod
    def _from_copy(cls, copy: bytes) -> Space | None:
        try:
            data = from_json(copy[SEALED:])
            identity = Identity.from_dict(data["identity"])
            usage = build(Usage, data["usage"])
            space = build(cls, {**data, "identity": identity, "usage": usage})
        except WRONG_DATA:
            return None
        return space if check(space.key, copy) else None

    def to_value(self) -> bytes:
        """JSON, readable without llmattn, and the same again: all scores hang on this record."""
        data = asdict(self, recurse=False)
        data.update(identity=self.identity.to_dict(), usage=asdict(self.usage))
        return 2 * seal(self.key, json.dumps(data).encode())
