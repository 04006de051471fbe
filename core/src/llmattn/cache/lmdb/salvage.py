"""Records of a file that LMDB cannot be given, collected from its pages.

Some of those are no longer in use, so an old version of a row may come back, or scores that were
purged; never one of another namespace, whose number is not used again.
"""

from __future__ import annotations

from collections.abc import Callable
from mmap import ACCESS_READ, mmap
from pathlib import Path

from llmattn.cache.lmdb.layout import CHUNK_KEY, ID_KEY, PAIR_KEY, PREFIX_HASH, Space, check
from llmattn.cache.lmdb.opening import Contents, Records
from llmattn.cache.lmdb.pages import page_records
from llmattn.cache.lmdb.texts import unpack_chunk

__all__ = ["salvaged"]

_NAMESPACE = 32
"""Length of a namespace's name."""
_TEXT_KEY = ID_KEY.size + PREFIX_HASH
_GOOD: dict[int, Callable[[bytes, bytes], object]] = {
    ID_KEY.size: check,
    PAIR_KEY.size: check,
    CHUNK_KEY.size: lambda key, value: unpack_chunk(key, value) is not None,
    _TEXT_KEY: lambda key, value: value,
}
"""By the length of a table's keys, which of two versions of a record to believe."""


def salvaged(path: Path) -> Contents | None:
    """The records of our databases that can be found in ``path``, bad ones among them; None if no
    namespace is there, without which no score means anything.
    """
    namespaces: dict[bytes, Space] = {}
    others: dict[int, dict[bytes, bytes]] = {size: {} for size in _GOOD}
    with open(path, "rb") as file, mmap(file.fileno(), 0, access=ACCESS_READ) as data:
        for key, value in page_records(data):
            if len(key) == _NAMESPACE:
                _keep_latest(namespaces, value)
            elif len(key) in others:
                table = others[len(key)]
                good, old = _GOOD[len(key)], table.get(key, b"")
                if (good(key, value), len(value)) > (good(key, old), len(old)):
                    table[key] = value
    if not namespaces:
        return None
    spaces = {space.id for space in namespaces.values()}

    def kept(size: int) -> Records:
        for key, value in sorted(others[size].items()):
            if ID_KEY.unpack(key[:4])[0] in spaces:
                yield key, value

    return {
        b"meta": iter(()),
        b"namespaces": iter([(key, space.to_value()) for key, space in sorted(namespaces.items())]),
        b"tokens": iter(sorted(others[ID_KEY.size].items())),
        b"pairs": kept(PAIR_KEY.size),
        b"texts": kept(CHUNK_KEY.size),
        b"prefixes": kept(_TEXT_KEY),
    }


def _keep_latest(namespaces: dict[bytes, Space], value: bytes) -> None:
    try:
        space = Space.from_value(value)
    except ValueError:
        return
    old = namespaces.get(space.key)
    if old is None or space.updated >= old.updated:
        namespaces[space.key] = space
