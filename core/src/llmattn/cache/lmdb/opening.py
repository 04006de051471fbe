"""Opens a cache file, makes a new one, or puts one in another's place; tells what is wrong."""

from __future__ import annotations

import os
import shutil
import stat
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import lmdb

from llmattn.cache.lmdb.layout import DATABASES, LAYOUT, LAYOUT_KEY, LAYOUT_VALUE, SEALED, seal
from llmattn.cache.lmdb.pages import ELSEWHERE, check_head, damaged_file
from llmattn.errors import CacheDamaged, CacheError
from llmattn.locks import folder_lock
from llmattn.notices import warn
from llmattn.paths import user_path
from llmattn.writing import put_in_place

__all__ = [
    "FILE_NAME",
    "Contents",
    "Records",
    "can_lock",
    "check_file",
    "is_read_only",
    "open_environment",
    "open_tables",
    "prepare_folder",
    "swap_in",
    "translated",
]

FILE_NAME = "scores.mdb"
Records = Iterator[tuple[bytes, bytes]]
"""Keys and values, in order."""
Contents = dict[bytes, Records]
"""All records, by name of their database."""
_BATCH = 20_000
_LARGEST = 1 << 40
_TIGHT = 64 * 2**20
"""Free bytes below which a disk counts as full."""
_MAX_READERS = 1024
_SMALLER = (1, 8, 64, 512)
"""Divisors of the map size, tried in turn where the address space is limited."""


def prepare_folder(folder: Path) -> Path:
    """Make ``folder`` (0700) if it is not there; returns the data file's path inside it.

    A folder that is a link, or belongs to another user, is announced.
    Raises CacheError if it cannot be made or written.
    """
    folder = user_path(folder)
    try:
        folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    except FileExistsError:
        raise CacheError(f"The cache folder {folder} is a file; {ELSEWHERE}.") from None
    except OSError as error:
        raise CacheError(
            f"The cache folder {folder} cannot be made ({error.strerror}); {ELSEWHERE}."
        ) from None
    if folder.is_symlink():
        warn(f"The cache folder {folder} is a link to {folder.resolve()}.")
    folder = folder.resolve()
    _announce_owner(folder, os.stat(folder))
    path = folder / FILE_NAME
    if not os.access(folder, os.W_OK | os.X_OK) and not _is_there(path):
        raise CacheError(
            f"The cache folder {folder} holds no cache to read, and is not writable; {ELSEWHERE}."
        )
    return path


def is_read_only(path: Path) -> bool:
    """Whether the cache ``path`` can be read, and its folder or file not written: it belongs to
    another, or lies in a container's image.
    """
    writable = os.access(path.parent, os.W_OK | os.X_OK)
    return _is_there(path) and not (writable and os.access(path, os.W_OK))


def _is_there(path: Path) -> bool:
    return os.access(path, os.R_OK) and path.stat().st_size > 0


def check_file(path: Path) -> bool:
    """Whether ``path`` holds a cache already; False if LMDB may make a new one there.

    Raises CacheError for a link, something else than a file, a file that LMDB cannot open
    safely (another format, a damaged head, shorter than its head says), or one not writable.
    """
    read_only = is_read_only(path)
    for part in (path, _lock_of(path)):
        try:
            found = os.lstat(part)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise CacheError(
                f"{part} cannot be looked at ({error.strerror}); {ELSEWHERE}."
            ) from None
        if stat.S_ISLNK(found.st_mode):
            raise CacheError(
                f"{part} is a link to {os.path.realpath(part)}, and the cache does not follow "
                f"links: put the file itself there, or {ELSEWHERE}."
            )
        if not stat.S_ISREG(found.st_mode):
            raise CacheError(f"{part} is not a file; remove it, or {ELSEWHERE}.")
        if not os.access(part, os.R_OK if read_only else os.R_OK | os.W_OK) and not (
            read_only and part != path
        ):
            raise CacheError(f"{part} is not readable and writable by this user; {ELSEWHERE}.")
        _announce_owner(part, found)
    if not path.exists() or path.stat().st_size == 0:
        return False
    check_head(path)
    return True


def _lock_of(path: Path) -> Path:
    return path.with_name(path.name + "-lock")


def _announce_owner(path: Path, found: os.stat_result) -> None:
    if hasattr(os, "geteuid") and found.st_uid not in (os.geteuid(), 0):
        warn(f"{path} belongs to another user (uid {found.st_uid}).")


def can_lock(path: Path) -> bool:
    """Whether LMDB can note who reads, so that no writer takes a page from a reader."""
    return os.access(_lock_of(path), os.R_OK | os.W_OK)


def open_environment(
    path: Path, map_size: int, *, sync: bool, exists: bool, read_only: bool = False
) -> lmdb.Environment:
    """The environment, of LMDB 0.9's format if it is new."""
    how: dict[str, Any] = {} if exists else {"lib_version": 0}
    if read_only:
        how = {"readonly": True, "create": False, "lock": can_lock(path)}
    for divisor in _SMALLER:
        with suppress(lmdb.MemoryError):
            env = lmdb.open(
                str(path),
                map_size=map_size // divisor,
                subdir=False,
                mode=0o600,
                sync=sync,
                max_readers=_MAX_READERS,
                max_dbs=len(DATABASES),
                **how,
            )
            _give_lock(path)
            return env
    raise CacheError(
        f"There is no address space to map {path}; raise the limit (ulimit -v) or set a smaller "
        "map with the option lmdb.map_size_gb."
    )


def _give_lock(path: Path) -> None:
    """Let the lock file, which root may just have made, belong to whom the data file belongs."""
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        with suppress(OSError):
            owner = os.stat(path)
            os.chown(f"{path}-lock", owner.st_uid, owner.st_gid)


def open_tables(env: lmdb.Environment, path: Path) -> list[Any]:
    """Handles of the databases, made if the file is new.

    Raises CacheError if the file is another program's, or of another layout.
    """
    if env.stat()["entries"] == 0 and env.flags().get("readonly"):
        raise CacheError(f"{path} cannot be written, and is empty; {ELSEWHERE}.")
    if env.stat()["entries"] == 0:
        with env.begin(write=True) as txn:
            tables: list[Any] = [env.open_db(name, txn=txn) for name in DATABASES]
            txn.put(LAYOUT_KEY, LAYOUT_VALUE, db=tables[0], overwrite=False)
        return tables
    try:
        meta = env.open_db(b"meta", create=False)
        with env.begin() as txn:
            layout = txn.get(LAYOUT_KEY, db=meta)
        tables = [env.open_db(name, create=False) for name in DATABASES]
    except lmdb.NotFoundError:
        layout = None
    if layout is None:
        raise CacheDamaged(f"{path} is another program's LMDB file; move it away, or {ELSEWHERE}.")
    if bytes(layout) != LAYOUT_VALUE:
        body = bytes(layout)[SEALED:]
        if seal(LAYOUT_KEY, body) != layout and not layout.isdigit():  # digits alone: layout 2
            raise damaged_file(path, "the number of its layout has a wrong checksum")
        shown = (body or bytes(layout)).decode("ascii", "replace")
        raise CacheError(
            f"{path} has the layout {shown}, and this llmattn reads layout {LAYOUT.decode()}: move "
            f"the file away, upgrade llmattn-core if the layout is a later one, or {ELSEWHERE}."
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
        raise damaged_file(path, str(error)) from None
    except struct.error:
        raise damaged_file(path, "a record has another length than it must") from None
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
            put_in_place(fresh, path)
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
