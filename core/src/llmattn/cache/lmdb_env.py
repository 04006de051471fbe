"""Opens LMDB environments, and turns what LMDB says into errors that help."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import lmdb

from llmattn.cache.lmdb_file import ELSEWHERE
from llmattn.cache.lmdb_layout import DATABASES, LAYOUT
from llmattn.errors import CacheError

__all__ = ["open_environment", "open_tables", "translated"]

_TIGHT = 64 * 2**20
"""Free bytes below which a disk counts as full."""
_MAX_READERS = 1024
_SMALLER = (1, 8, 64, 512)
"""Divisors of the map size, tried in turn where the address space is limited."""


def open_environment(path: Path, map_size: int, *, sync: bool, exists: bool) -> lmdb.Environment:
    """The environment, of LMDB 0.9's format if it is new."""
    version: dict[str, Any] = {} if exists else {"lib_version": 0}
    for divisor in _SMALLER:
        with suppress(lmdb.MemoryError):
            return lmdb.open(
                str(path),
                map_size=map_size // divisor,
                subdir=False,
                mode=0o600,
                sync=sync,
                max_readers=_MAX_READERS,
                max_dbs=len(DATABASES),
                **version,
            )
    raise CacheError(
        f"There is no address space to map {path}; raise the limit (ulimit -v) or set a smaller "
        "map with the option lmdb.map_size_gb."
    )


def open_tables(env: lmdb.Environment, path: Path) -> list[Any]:
    """Handles of the databases, made if the file is new.

    Raises CacheError if the file is another program's, or of another layout.
    """
    if env.stat()["entries"] == 0:
        with env.begin(write=True) as txn:
            tables: list[Any] = [env.open_db(name, txn=txn) for name in DATABASES]
            txn.put(b"layout", str(LAYOUT).encode(), db=tables[0], overwrite=False)
        return tables
    try:
        meta = env.open_db(b"meta", create=False)
        with env.begin() as txn:
            layout = txn.get(b"layout", db=meta)
        tables = [env.open_db(name, create=False) for name in DATABASES]
    except lmdb.NotFoundError:
        layout = None
    if layout is None:
        raise CacheError(f"{path} is another program's LMDB file; move it away, or {ELSEWHERE}.")
    if bytes(layout) != str(LAYOUT).encode():
        shown = bytes(layout).decode("ascii", "replace")
        raise CacheError(
            f"{path} has the layout {shown}, and this llmattn reads layout {LAYOUT}: move the file "
            f"away, upgrade llmattn-core if the layout is a later one, or {ELSEWHERE}."
        )
    return tables


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what LMDB and the operating system say about ``path`` into a CacheError."""
    try:
        yield
    except (lmdb.MapFullError, lmdb.MapResizedError):
        raise
    except lmdb.DiskError:
        raise _disk_full(path) from None
    except lmdb.ReadersFullError:
        raise CacheError(
            f"{path} is read by too many processes at once ({_MAX_READERS}); end some."
        ) from None
    except (
        lmdb.CorruptedError,
        lmdb.PageNotFoundError,
        lmdb.InvalidError,
        lmdb.PanicError,
    ) as error:
        raise CacheError(
            f"{path} is damaged ({error}). Run: llmattn cache verify --cache-dir {path.parent}"
        ) from None
    except (lmdb.Error, OSError) as error:
        if "Input/output error" in str(error) and shutil.disk_usage(path.parent).free < _TIGHT:
            raise _disk_full(path) from None  # LMDB's word for a write that was cut short
        raise CacheError(f"{_explain(path, error)}; {ELSEWHERE}.") from None


def _disk_full(path: Path) -> CacheError:
    return CacheError(
        f"The disk of {path} is full; what was stored before is safe. Free some space, "
        f"or {ELSEWHERE}."
    )


def _explain(path: Path, error: Exception) -> str:
    text = str(error)
    if "No locks available" in text or "not supported" in text or "not implemented" in text:
        return (
            f"The file system of {path.parent} has no file locks ({text}), as on some network "
            "drives, and a cache needs them"
        )
    return f"The cache {path} cannot be used ({text})"
