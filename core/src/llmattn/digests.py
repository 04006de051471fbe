"""A digest of a whole file inside of it: damage anywhere is found before anything is believed.

It stands near the end as ``"sha256": "..."``, 64 hexadecimal digits: those of the file's bytes with
64 zeros in their place.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from llmattn.whole_files import open_file

__all__ = ["EMPTY", "digest_of", "fill_digest", "has_digest", "with_digest"]

EMPTY = {"sha256": "0" * 64}
"""What a writer puts near the end, for :func:`fill_digest`."""
_DIGEST = re.compile(rb'"sha256": "([0-9a-f]{64})"')
_PORTION = 1 << 20


def fill_digest(path: Path, tail: int) -> None:
    """Put the digest into a file that has :data:`EMPTY`, as JSON, in its last ``tail`` bytes."""
    place, _ = _found(path, tail) or _missing(path)
    digest = _digest(path, place)
    with path.open("r+b") as file:
        file.seek(place)
        file.write(digest)


def with_digest(before: Any, end: bytes) -> bytes:
    """The last bytes of a file, with :data:`EMPTY` filled in; ``before``: the SHA-256, to go on
    with, of all bytes that went out before, of which none can be changed any more.
    """
    before.update(end)
    return end.replace(EMPTY["sha256"].encode(), before.hexdigest().encode())


def has_digest(path: Path, tail: int) -> bool:
    """Whether there is a digest in the last ``tail`` bytes. Raises ValueError if it is not that
    of the file.
    """
    found = _found(path, tail)
    if found is None:
        return False
    place, digest = found
    if _digest(path, place) != digest:
        raise ValueError("it is not as it was written: its digest is that of another content")
    return True


def digest_of(path: Path) -> str:
    """The digest of a file that has none inside."""
    return _digest(path, path.stat().st_size).decode()


def _missing(path: Path) -> tuple[int, bytes]:
    raise ValueError(f"{path} has no place for a digest")


def _found(path: Path, tail: int) -> tuple[int, bytes] | None:
    """Where the digest stands, and what it is."""
    size = path.stat().st_size
    start = max(size - tail, 0)
    with open_file(path) as file:
        file.seek(start)
        matches = list(_DIGEST.finditer(file.read(tail)))
    return (start + matches[-1].start(1), matches[-1][1]) if matches else None


def _digest(path: Path, place: int) -> bytes:
    found = hashlib.sha256()
    with open_file(path) as file:
        left = place
        while left > 0 and (portion := file.read(min(left, _PORTION))):
            found.update(portion)
            left -= len(portion)
        found.update(b"0" * len(file.read(64)))
        while portion := file.read(_PORTION):
            found.update(portion)
    return found.hexdigest().encode()
