"""LMDB's pages read without LMDB, which trusts its files blindly."""

from __future__ import annotations

import os
import struct
import sys
from collections.abc import Iterator
from mmap import mmap
from pathlib import Path

import lmdb.verify

from llmattn.errors import CacheDamaged, CacheError

__all__ = ["ELSEWHERE", "check_head", "damaged_file", "page_records", "structure_problems"]

ELSEWHERE = "name another folder with --cache-dir or LLMATTN_CACHE_DIR"
_MAGIC = 0xBEEFC0DE
_DATA_VERSION = 1
_META_PAGE = 0x08
_NO_ROOT = (1 << 64) - 1
_PAGE = struct.Struct("=QHHHH")
"""A page: number, padding, flags, lower, upper."""
_META = struct.Struct("=IIQQ 48s 48s QQ")
"""magic, version, address, map size, free list, main tree, last page, transaction."""
_TREE = struct.Struct("=IHHQQQQQ")
"""pad (the page size in the free list), flags, depth, pages of three kinds, entries, root."""
_PAGE_SIZES = frozenset(1 << n for n in range(8, 17))
_LATER_MAGIC_AT = 24
"""LMDB 1.0's page header is 24 bytes long, so its magic number comes later."""
_NODE = struct.Struct("=HHHH")
"""Size of the value (low half, high half), flags, size of the key."""
_LEAF = 0x02
_ON_OTHER_PAGES = 0x01
_NOT_A_VALUE = 0x06


def check_head(path: Path) -> None:
    """Refuse a file whose two head pages are not those of a whole LMDB 0.9 file."""
    try:
        with open(path, "rb") as file:
            heads = [_read_meta(path, file.read(_PAGE.size + _META.size))]
            page_size = heads[0][0]
            file.seek(page_size)
            heads.append(_read_meta(path, file.read(_PAGE.size + _META.size)))
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise CacheError(f"{path} cannot be read ({error.strerror}); {ELSEWHERE}.") from None
    _, last_page, roots, _ = max(heads, key=lambda head: head[3])
    if any(root != _NO_ROOT and root > last_page for root in roots):
        raise damaged_file(path, "its head points outside the file")
    if size < (last_page + 1) * page_size:
        raise damaged_file(
            path, f"it has {size} bytes of {(last_page + 1) * page_size}: it was cut short"
        )


def _read_meta(path: Path, page: bytes) -> tuple[int, int, tuple[int, int], int]:
    """Page size, last page, roots of both trees, and transaction of one head page."""
    if len(page) < _PAGE.size + _META.size:
        raise damaged_file(path, "it is too short")
    _, _, flags, _, _ = _PAGE.unpack_from(page)
    magic, version, _, _, free, main, last_page, txn = _META.unpack_from(page, _PAGE.size)
    if magic != _MAGIC or not flags & _META_PAGE:
        later = int.from_bytes(page[_LATER_MAGIC_AT : _LATER_MAGIC_AT + 4], sys.byteorder)
        if later == _MAGIC:
            raise CacheError(
                f"{path} was written by LMDB 1.0, whose files llmattn does not read; "
                f"move it away, or {ELSEWHERE}."
            )
        raise CacheDamaged(
            f"{path} is not a score cache (no LMDB head); move it away, or {ELSEWHERE}."
        )
    if version != _DATA_VERSION:
        raise CacheError(
            f"{path} has LMDB's data format {version}, and llmattn reads format {_DATA_VERSION}; "
            f"move it away, or {ELSEWHERE}."
        )
    page_size = _TREE.unpack(free)[0]
    if page_size not in _PAGE_SIZES:
        raise damaged_file(path, f"its head names the page size {page_size}")
    return page_size, last_page, (_TREE.unpack(free)[-1], _TREE.unpack(main)[-1]), txn


def damaged_file(path: Path, how: str) -> CacheDamaged:
    """For a file that LMDB must not be given, and why."""
    return CacheDamaged(
        f"{path} is damaged: {how}. Save what is good in it by: llmattn cache verify --drop "
        f"--cache-dir {path.parent}; or {ELSEWHERE}."
    )


def structure_problems(path: Path, *, tries: int = 5) -> list[str]:
    """What is wrong with the pages of a file, found without LMDB.

    Others may write to it if a read transaction is open: no page of a version that is as young as
    that one is used again before it ends. Only its head is read anew when it changes meanwhile.
    """
    problems: list[str] = []
    for _ in range(tries):
        before = _head(path)
        try:
            problems = lmdb.verify.verify(str(path), subdir=False)  # type: ignore[no-untyped-call]
        except lmdb.verify.VerifyError as error:
            problems = [str(error)]
        if not problems or _head(path) == before:
            break
    return problems


def _head(path: Path) -> bytes:
    """Every commit changes one of the two first pages."""
    with open(path, "rb") as file:
        return file.read(1 << 17)


def page_records(data: bytes | mmap) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values on everything in a file's bytes that looks like a leaf page."""
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


def _record(data: bytes | mmap, at: int, end: int, page_size: int) -> tuple[bytes, bytes] | None:
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


def _page_size(data: bytes | mmap) -> int:
    """As the head says, if it can be believed."""
    stated = int(struct.unpack_from("=I", data, 40)[0]) if len(data) >= 44 else 0
    return stated if stated in _PAGE_SIZES else 4096
