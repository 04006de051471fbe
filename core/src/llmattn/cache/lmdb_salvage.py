"""Collects records from the pages of a damaged LMDB file, without LMDB.

Pages that are no longer in use are read too, so an old version of a row may come back, or
scores that were purged; never one of another namespace, whose number is not used again.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from llmattn.cache.lmdb_chunks import unpack_chunk
from llmattn.cache.lmdb_layout import CHUNK_KEY, ID_KEY, LAYOUT, PAIR_KEY, PREFIX_HASH, check
from llmattn.cache.lmdb_swap import Contents
from llmattn.untrusted import from_json

__all__ = ["salvage"]

_PAGE = struct.Struct("=QHHHH")
"""Number, padding, flags, lower, upper."""
_NODE = struct.Struct("=HHHH")
"""Size of the value (low half, high half), flags, size of the key."""
_LEAF = 0x02
_ON_OTHER_PAGES = 0x01
_NOT_A_VALUE = 0x06
_NAMESPACE = 32
"""Length of a namespace's name."""
_TEXT_KEY = ID_KEY.size + PREFIX_HASH
_GOOD: dict[int, Callable[[bytes], object]] = {
    ID_KEY.size: check,
    PAIR_KEY.size: check,
    CHUNK_KEY.size: lambda value: unpack_chunk(value) is not None,
    _TEXT_KEY: lambda value: value,
}
"""By the length of a table's keys, which of two versions of a record to believe."""


def salvage(path: Path) -> Contents:
    """The records of our databases that can be found in ``path``, bad ones among them."""
    namespaces: dict[bytes, bytes] = {}
    others: dict[int, dict[bytes, bytes]] = {size: {} for size in _GOOD}
    for key, value in _records(path.read_bytes()):
        if len(key) == _NAMESPACE:
            if _updated(value) >= _updated(namespaces.get(key, b"")):
                namespaces[key] = value
        elif len(key) in others:
            table = others[len(key)]
            good, old = _GOOD[len(key)], table.get(key, b"")
            if (good(value), len(value)) > (good(old), len(old)):
                table[key] = value
    spaces = {_number(value) for value in namespaces.values()}
    last = str(max(spaces, default=0)).encode()
    meta = {b"layout": str(LAYOUT).encode(), b"last namespace": last}

    def kept(size: int) -> Iterator[tuple[bytes, bytes]]:
        for key, value in sorted(others[size].items()):
            if ID_KEY.unpack(key[:4])[0] in spaces:
                yield key, value

    return {
        b"meta": iter(sorted(meta.items())),
        b"namespaces": iter(sorted(namespaces.items())),
        b"tokens": iter(sorted(others[ID_KEY.size].items())),
        b"pairs": kept(PAIR_KEY.size),
        b"texts": kept(CHUNK_KEY.size),
        b"prefixes": kept(_TEXT_KEY),
    }


def _records(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values on everything that looks like a leaf page."""
    size = _page_size(data)
    for start in range(2 * size, len(data) - size + 1, size):
        number, _, flags, lower, _ = _PAGE.unpack_from(data, start)
        if flags != _LEAF or number != start // size or not _PAGE.size <= lower <= size:
            continue
        for (offset,) in struct.iter_unpack("=H", data[start + _PAGE.size : start + lower & ~1]):
            if offset + _NODE.size <= size:
                record = _record(data, start + offset, start + size, size)
                if record is not None:
                    yield record


def _record(data: bytes, at: int, end: int, page_size: int) -> tuple[bytes, bytes] | None:
    low, high, flags, key_size = _NODE.unpack_from(data, at)
    key_at = at + _NODE.size
    value_at, value_size = key_at + key_size, low | high << 16
    if flags & _NOT_A_VALUE or value_at > end:
        return None
    if flags & _ON_OTHER_PAGES:
        if value_at + 8 > end:
            return None
        value_at = int(struct.unpack_from("=Q", data, value_at)[0]) * page_size + _PAGE.size
        end = len(data)
    if value_at + value_size > end:
        return None
    return data[key_at : key_at + key_size], data[value_at : value_at + value_size]


def _page_size(data: bytes) -> int:
    """As the head says, if it can be believed."""
    stated = int(struct.unpack_from("=I", data, 40)[0]) if len(data) >= 44 else 0
    return stated if stated in (1 << n for n in range(9, 17)) else 4096


def _updated(value: bytes) -> float:
    try:
        return float(from_json(value)["updated"])
    except (KeyError, TypeError, ValueError):
        return -1.0


def _number(value: bytes) -> int:
    try:
        return int(from_json(value)["id"])
    except (KeyError, TypeError, ValueError):
        return -1
