"""Replaces a cache file by another while processes have it open."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from llmattn.cache.lmdb_env import open_environment, open_tables
from llmattn.cache.lmdb_layout import DATABASES
from llmattn.errors import CacheError

if sys.platform != "win32":
    import fcntl

__all__ = ["Contents", "folder_lock", "swap_in"]

Contents = dict[bytes, Iterator[tuple[bytes, bytes]]]
"""Records in key order, by name of their database."""

_BATCH = 20_000
_LARGEST = 1 << 40


@contextmanager
def folder_lock(folder: Path, *, alone: bool = False) -> Iterator[None]:
    """Opening a file shares this lock; swapping it for another takes it alone."""
    if sys.platform == "win32":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


def swap_in(path: Path, contents: Contents) -> None:
    """Write ``contents`` to a new file and put it in the place of ``path``.

    The caller makes sure that nobody writes to the old file meanwhile.
    """
    if sys.platform == "win32":
        raise CacheError("This system cannot swap an open file; export and import it instead.")
    fresh = path.with_name(path.name + ".new")
    locks = [Path(f"{fresh}-lock"), Path(f"{path}-lock")]
    fresh.unlink(missing_ok=True)
    try:
        _write_file(fresh, contents)
        with folder_lock(path.parent, alone=True):
            for lock in locks:
                lock.unlink(missing_ok=True)
            os.replace(fresh, path)
            _sync_folder(path.parent)
    finally:
        fresh.unlink(missing_ok=True)
        locks[0].unlink(missing_ok=True)


def _write_file(path: Path, contents: Contents) -> None:
    env = open_environment(path, _LARGEST, sync=False, exists=False)
    try:
        tables = dict(zip(DATABASES, open_tables(env, path), strict=True))
        for name, items in contents.items():
            while batch := list(islice(items, _BATCH)):
                with env.begin(write=True) as txn:
                    for key, value in batch:
                        txn.put(key, value, db=tables[name], append=name != b"meta")
        env.sync(True)
    finally:
        env.close()


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
