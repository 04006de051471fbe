"""Packed scores beside a cache: where they lie, how much they are, and how they are forgotten.

Each namespace has a folder of its own, with a file for each text and way of reading it, and
perhaps unfinished ones.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from attrs import frozen

from llmattn.cache.protocol import FileCache, ScoreCache
from llmattn.cache.read_only import is_read_only
from llmattn.unfinished import is_left_over, unfinished_in

__all__ = ["Packed", "forget_orphans", "forget_packed", "packed_folder", "packed_of"]


@frozen
class Packed:
    """What is packed of a namespace. ``updated``: when the last file was written, in seconds since
    the epoch; ``unfinished``: of ``files``, those that are being written, or were left by a
    process that was killed.
    """

    namespace: str
    files: int
    unfinished: int
    bytes: int
    updated: float


def packed_folder(cache: ScoreCache) -> Path | None:
    """The folder of packed scores beside a cache that is a file; None for any other, and beside
    one that cannot be written.
    """
    if is_read_only(cache):
        return None
    return cache.path.parent / "packed" if isinstance(cache, FileCache) else None


def packed_of(cache: ScoreCache) -> dict[str, Packed]:
    """What is packed beside ``cache``, by namespace, also of those that it does not hold."""
    folder = packed_folder(cache)
    found: dict[str, Packed] = {}
    with suppress(OSError):
        for part in sorted(folder.iterdir() if folder else ()):
            if (packed := _measured(part)) is not None:
                found[part.name] = packed
    return found


def forget_packed(cache: ScoreCache, namespace: str) -> None:
    """Remove what was packed from the scores of ``namespace``, and what killed processes left of
    it. A file that a process has open stays readable for that.
    """
    folder = packed_folder(cache)
    if folder is not None:
        shutil.rmtree(folder / namespace, ignore_errors=True)


def forget_orphans(cache: ScoreCache, known: Collection[str]) -> list[Packed]:
    """Remove what was packed of namespaces other than ``known``, and what killed processes have
    left of all; returns what is gone.
    """
    gone = []
    for namespace, packed in packed_of(cache).items():
        if namespace not in known:
            forget_packed(cache, namespace)
            gone.append(packed)
        elif packed.unfinished and (left := _clear(cache, namespace)) is not None:
            gone.append(left)
    return gone


def _measured(part: Path) -> Packed | None:
    """A folder as what is packed in it; None if that is nothing."""
    names = [] if part.is_symlink() or not part.is_dir() else list(part.iterdir())
    unfinished = {*unfinished_in(part)} if names else set()
    files = [(path, path.lstat()) for path in names if path.suffix == ".tri" or path in unfinished]
    if not files:
        return None
    return Packed(
        part.name,
        len(files),
        len(unfinished),
        sum(found.st_size for _, found in files),
        max(found.st_mtime for _, found in files),
    )


def _clear(cache: ScoreCache, namespace: str) -> Packed | None:
    """Remove the unfinished files of a namespace that no process holds."""
    folder = packed_folder(cache)
    assert folder is not None
    count = size = 0
    last = 0.0
    for path in unfinished_in(folder / namespace):
        with suppress(OSError):
            found = path.lstat()
            if is_left_over(path, remove=True):
                count, size, last = count + 1, size + found.st_size, max(last, found.st_mtime)
    return Packed(namespace, count, count, size, last) if count else None
