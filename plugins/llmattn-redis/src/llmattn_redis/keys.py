"""How scores lie in Redis, version 2. Hashes merge by themselves, so writers need no locks.

``llmattn:2:spaces``            set of namespaces
``llmattn:2:NAMESPACE``         hash: identity (JSON), created, updated, what it has cost
``llmattn:2:NAMESPACE:rows``    set of the names of its rows
``llmattn:2:NAMESPACE:q:WORD``  hash of a PAIR row: key -> checksum, C float16
``llmattn:2:claim:NUMBER``       who is asking for a pair or a text just now; it expires
``llmattn:2:NAMESPACE:t:HASH``  hash of a PREFIX row: position -> the same; text -> checksum, JSON

A checksum is the CRC-32 of the hash's name, the field, and what follows: so no score is taken for
that of other words.
"""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Sequence
from hashlib import blake2b

from llmattn.plugin import Numbers, Row, from_json

__all__ = [
    "SPACES",
    "TEXT",
    "claim_keys",
    "decode",
    "encode",
    "fields_of",
    "key_of",
    "name_of",
    "rows_of",
    "sealed",
    "space_key",
    "text_of",
    "unsealed",
]

_ROOT = "llmattn:2"
SPACES = f"{_ROOT}:spaces"
TEXT = b"text"
_CRC = struct.Struct("<I")


def space_key(namespace: str) -> str:
    """The hash about a namespace."""
    return f"{_ROOT}:{namespace}"


def rows_of(namespace: str) -> str:
    """The set of a namespace's rows."""
    return f"{_ROOT}:{namespace}:rows"


def key_of(namespace: str, name: bytes) -> bytes:
    """The hash of a row."""
    return f"{_ROOT}:{namespace}:".encode() + name


def claim_keys(numbers: Numbers) -> list[str]:
    """The keys that claim what ``numbers`` stand for."""
    return [f"{_ROOT}:claim:{number:016x}" for number in numbers.tolist()]


def name_of(row: Row, text: bool) -> bytes:
    """The name of a row within its namespace."""
    if not text:
        return b"q:" + encode(row.query)
    words = json.dumps([*row.context, row.query]).encode("ascii")
    return b"t:" + blake2b(words, digest_size=16).hexdigest().encode()


def fields_of(row: Row, text: bool) -> list[bytes]:
    """The fields of a row's hash that hold the scores of its keys."""
    return _numbers(len(row.keys)) if text else [encode(key) for key in row.keys]


def _numbers(n: int) -> list[bytes]:
    return [b"%d" % i for i in range(n)]


def sealed(key: bytes, field: bytes, body: bytes) -> bytes:
    """``body`` behind its checksum, as the field of a hash."""
    return _CRC.pack(_checksum(key, field, body)) + body


def unsealed(key: bytes, field: bytes, value: bytes) -> bytes:
    """What :func:`sealed` was given. Raises ValueError if it was anything else."""
    body = value[_CRC.size :]
    if value[: _CRC.size] != _CRC.pack(_checksum(key, field, body)):
        raise ValueError(f"the field {field!r} of the hash {key!r} is damaged")
    return body


def _checksum(key: bytes, field: bytes, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(field, zlib.crc32(key)))


def encode(word: str) -> bytes:
    """Any string as bytes, lone surrogates too."""
    return word.encode("utf-8", "surrogatepass")


def decode(word: bytes) -> str:
    """The string that :func:`encode` was given."""
    return word.decode("utf-8", "surrogatepass")


def text_of(words: bytes) -> Sequence[str]:
    """The tokens of a PREFIX row."""
    tokens: list[str] = from_json(words)
    return tokens
