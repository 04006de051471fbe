"""What must hold before a cache file is given to LMDB, which trusts its files blindly."""

from __future__ import annotations

import os
import stat
import struct
import sys
from pathlib import Path

import lmdb.verify

from llmattn.cache.settings import LmdbSettings
from llmattn.errors import CacheError
from llmattn.notices import notify
from llmattn.paths import user_path
from llmattn.settings import environment, resolve

__all__ = [
    "ELSEWHERE",
    "FILE_NAME",
    "cache_file",
    "check_file",
    "prepare_folder",
    "structure_problems",
]

FILE_NAME = "scores.mdb"
ELSEWHERE = "name another folder with --cache-dir or LLMATTN_CACHE_DIR"

_MAGIC = 0xBEEFC0DE
_DATA_VERSION = 1
_META_PAGE = 0x08
_NO_ROOT = (1 << 64) - 1
_HEADER = struct.Struct("=QHHHH")
"""A page: number, padding, flags, lower, upper."""
_META = struct.Struct("=IIQQ 48s 48s QQ")
"""magic, version, address, map size, free list, main tree, last page, transaction."""
_TREE = struct.Struct("=IHHQQQQQ")
"""pad (the page size in the free list), flags, depth, pages of three kinds, entries, root."""


def cache_file(folder: Path | None = None) -> Path:
    """Where the LMDB cache keeps its file, by folder, environment or default; it need not exist."""
    options = {"dir": str(folder)} if folder else {}
    settings = resolve(LmdbSettings, owner="lmdb", options=options, environ=environment())
    return settings.dir / FILE_NAME


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
        notify(f"The cache folder {folder} is a link to {folder.resolve()}.")
    folder = folder.resolve()
    _announce_owner(folder, os.stat(folder))
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CacheError(f"The cache folder {folder} is not writable; {ELSEWHERE}.")
    return folder / FILE_NAME


def check_file(path: Path, walked: float) -> bool:
    """Whether ``path`` holds a cache already; False if LMDB may make a new one there.

    All pages are looked at if the file has at most ``walked`` bytes, else the first two: LMDB
    ends the process when it meets a page of zeros, such as a failing disk may leave.
    Raises CacheError for a link, something else than a file, a file that LMDB cannot open
    safely (another format, damaged pages, shorter than its head says), or one not writable.
    """
    for part in (path, path.with_name(path.name + "-lock")):
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
        if not os.access(part, os.R_OK | os.W_OK):
            raise CacheError(f"{part} is not readable and writable by this user; {ELSEWHERE}.")
        _announce_owner(part, found)
    if not path.exists() or path.stat().st_size == 0:
        return False
    _check_head(path)
    if path.stat().st_size <= walked and (problems := structure_problems(path)):
        raise _damaged(path, problems[0])
    return True


def structure_problems(path: Path, *, tries: int = 5) -> list[str] | None:
    """What is wrong with the pages of a file, found without LMDB; None if it never rests."""
    for _ in range(tries):
        before = _head(path)
        try:
            problems: list[str] = lmdb.verify.verify(str(path), subdir=False)  # type: ignore[no-untyped-call]
        except lmdb.verify.VerifyError as error:
            problems = [str(error)]
        if _head(path) == before:
            return problems
    return None


def _head(path: Path) -> bytes:
    """Every commit changes one of the two first pages."""
    with open(path, "rb") as file:
        return file.read(1 << 17)


def _announce_owner(path: Path, found: os.stat_result) -> None:
    if hasattr(os, "geteuid") and found.st_uid not in (os.geteuid(), 0):
        notify(f"{path} belongs to another user (uid {found.st_uid}).")


def _check_head(path: Path) -> None:
    """Refuse a file whose two head pages are not those of a whole LMDB 0.9 file."""
    try:
        with open(path, "rb") as file:
            first = file.read(_HEADER.size + _META.size)
            page_size = _read_meta(path, first)[0]
            file.seek(page_size)
            second = file.read(_HEADER.size + _META.size)
            heads = [_read_meta(path, first), _read_meta(path, second)]
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise CacheError(f"{path} cannot be read ({error.strerror}); {ELSEWHERE}.") from None
    _, last_page, roots, _ = max(heads, key=lambda head: head[3])
    if any(root != _NO_ROOT and root > last_page for root in roots):
        raise _damaged(path, "its head points outside the file")
    if size < (last_page + 1) * page_size:
        raise _damaged(
            path, f"it has {size} bytes of {(last_page + 1) * page_size}: it was cut short"
        )


def _read_meta(path: Path, page: bytes) -> tuple[int, int, tuple[int, int], int]:
    """Page size, last page, roots of both trees, and transaction of one head page."""
    if len(page) < _HEADER.size + _META.size:
        raise _damaged(path, "it is too short")
    _, _, flags, _, _ = _HEADER.unpack_from(page)
    magic, version, _, _, free, main, last_page, txn = _META.unpack_from(page, _HEADER.size)
    if magic != _MAGIC or not flags & _META_PAGE:
        later = int.from_bytes(page[_LATER_MAGIC_AT : _LATER_MAGIC_AT + 4], sys.byteorder)
        if later == _MAGIC:
            raise CacheError(
                f"{path} was written by LMDB 1.0, whose files llmattn does not read; "
                f"move it away, or {ELSEWHERE}."
            )
        raise CacheError(
            f"{path} is not a score cache (no LMDB head); move it away, or {ELSEWHERE}."
        )
    if version != _DATA_VERSION:
        raise CacheError(
            f"{path} has LMDB's data format {version}, and llmattn reads format {_DATA_VERSION}; "
            f"move it away, or {ELSEWHERE}."
        )
    page_size = _TREE.unpack(free)[0]
    if page_size not in (1 << n for n in range(8, 17)):
        raise _damaged(path, f"its head names the page size {page_size}")
    return page_size, last_page, (_TREE.unpack(free)[-1], _TREE.unpack(main)[-1]), txn


_LATER_MAGIC_AT = 24
"""LMDB 1.0's page header is 24 bytes long, so its magic number comes later."""


def _damaged(path: Path, how: str) -> CacheError:
    return CacheError(
        f"{path} is damaged: {how}. Save what is good in it by: llmattn cache verify --drop "
        f"--cache-dir {path.parent}; or {ELSEWHERE}."
    )
