"""Keys, checksums and small records of the file; docs/cache-format.md has all of it. No I/O.

``meta``        ``layout`` -> its version; ``last namespace`` -> the highest number given so far
``namespaces``  namespace -> JSON: number, identity, created, updated, usage
``tokens``      first id -> checksum + JSON list of words: ids count up from there
``pairs``       namespace's number, query id, high half of the key ids -> see ``pairs``
``texts``       namespace's number, chunk's number -> a chunk of PREFIX rows, see ``texts``
``prefixes``    namespace's number, hashes of the token ids -> where the row is (``PLACE``)

Keys are big-endian so that they sort; values are little-endian. A checksum is the CRC-32 of
what follows it.
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
from llmattn.untrusted import build, from_json
from llmattn.usage import Usage

__all__ = [
    "CHUNK_KEY",
    "DATABASES",
    "ID_BYTES",
    "ID_KEY",
    "LAST_SPACE",
    "LAYOUT",
    "PAIR_KEY",
    "PLACE",
    "PREFIX_HASH",
    "SEALED",
    "Space",
    "check",
    "pack_words",
    "prefix_key",
    "seal",
    "unpack_words",
]

LAYOUT = b"2"
DATABASES = (b"meta", b"namespaces", b"tokens", b"pairs", b"texts", b"prefixes")
LAST_SPACE = b"last namespace"
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


def seal(body: bytes) -> bytes:
    """``body`` behind its checksum."""
    return _CRC.pack(zlib.crc32(body)) + body


def check(value: bytes) -> bool:
    """Whether a sealed value is whole."""
    return len(value) >= SEALED and _CRC.unpack_from(value)[0] == zlib.crc32(value[SEALED:])


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


def pack_words(words: Sequence[str]) -> bytes:
    """JSON in ASCII: any string survives, lone surrogates too."""
    return seal(json.dumps(list(words), separators=(",", ":")).encode("ascii"))


def unpack_words(value: bytes) -> list[str]:
    """The words of a sealed value."""
    words: list[str] = from_json(value[SEALED:])
    return words


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

    @classmethod
    @lru_cache(maxsize=64)  # a read of one row would spend a tenth of its time here
    def from_json(cls, value: bytes) -> Space:
        """What :meth:`to_json` wrote; raises KeyError, TypeError or ValueError for else."""
        data = from_json(value)
        identity = Identity.from_dict(data["identity"])
        return build(cls, {**data, "identity": identity, "usage": build(Usage, data["usage"])})

    def to_json(self) -> bytes:
        """Readable without llmattn."""
        data = asdict(self, recurse=False)
        data.update(identity=self.identity.to_dict(), usage=asdict(self.usage))
        return json.dumps(data).encode()
