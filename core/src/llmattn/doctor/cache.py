"""The score cache: its place, size and health, and the room on its disk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from llmattn.cache.open import locate_cache, verify_cache
from llmattn.doctor.finding import Finding
from llmattn.errors import CacheDamaged, CacheError, ConfigError, LlmattnError

__all__ = ["examine_cache"]

_MOST_READ = 1 << 28
"""Bytes of a cache that is read as a whole."""
_LEAST_FREE, _LITTLE_FREE = 50_000_000, 1_000_000_000
"""Bytes of a disk with which nothing goes, and not much."""


def examine_cache(name: str, cache_dir: Path | None) -> Iterator[Finding]:
    """Nothing is made, and what is no file of this machine is not connected to."""
    try:
        path = locate_cache(name, cache_dir=cache_dir)
    except CacheError:
        yield Finding("cache", "ok", f"{name} is no file of this machine; it is not looked at")
        return
    except LlmattnError as error:
        remedy = "Name another cache with --cache, or set what it needs."
        yield Finding("cache", "problem", str(error), remedy)
        return
    if not path.exists():
        yield Finding("cache", "ok", f"{path} is not there yet")
    else:
        yield from _health(name, cache_dir, path)
    yield from _room(path.parent)


def _health(name: str, cache_dir: Path | None, path: Path) -> Iterator[Finding]:
    size = path.stat().st_size if path.is_file() else 0
    says = f"{path}, {size / 1e6:,.1f} MB"
    if size > _MOST_READ:
        yield Finding("cache", "ok", f"{says}; too large to be read here: llmattn cache verify")
        return
    own = f" --cache-dir {cache_dir}" if cache_dir else ""
    mend = f"llmattn cache verify --drop{own} keeps a copy, and goes on with the good records."
    try:
        report = verify_cache(name, cache_dir=cache_dir)
    except CacheDamaged as error:
        yield Finding("cache", "problem", f"{says}: {error}", mend, CacheDamaged.exit_code)
    except LlmattnError as error:
        remedy = "Name another folder with --cache-dir or LLMATTN_CACHE_DIR."
        yield Finding("cache", "problem", f"{says}: {error}", remedy, CacheError.exit_code)
    else:
        if report.problems:
            says = f"{says}: {report.problems[0]}"
            yield Finding("cache", "problem", says, mend, CacheDamaged.exit_code)
        else:
            yield Finding("cache", "ok", f"{says}, {report.records:,} records, all well")


def _room(folder: Path) -> Iterator[Finding]:
    there = next(each for each in (folder, *folder.parents) if each.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        remedy = "Name another folder with --cache-dir or LLMATTN_CACHE_DIR, or make it writable."
        says = f"nothing can be written in {there}"
        yield Finding("disk", "problem", says, remedy, ConfigError.exit_code)
        return
    free = shutil.disk_usage(there).free
    says = f"{free / 1e9:,.1f} GB free for {folder}"
    if free < _LITTLE_FREE:
        state = "problem" if free < _LEAST_FREE else "note"
        remedy = "Make room, or name a folder on another disk with --cache-dir."
        yield Finding("disk", state, says, remedy, CacheError.exit_code)  # type: ignore[arg-type]
    else:
        yield Finding("disk", "ok", says)
