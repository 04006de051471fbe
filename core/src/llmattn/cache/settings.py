"""Settings of the built-in caches."""

from __future__ import annotations

from pathlib import Path

import platformdirs
from attrs import Factory, frozen, validators

from llmattn.settings import setting

__all__ = ["LmdbSettings", "MemorySettings"]


def _user_cache_dir() -> Path:
    return Path(platformdirs.user_cache_dir("llmattn", appauthor=False))


@frozen
class LmdbSettings:
    """The LMDB cache: one file that many processes may share."""

    dir: Path = setting(
        Factory(_user_cache_dir), env="LLMATTN_CACHE_DIR", help="folder of the cache"
    )
    map_size_gb: float = setting(
        64.0,
        help="largest size to start with, in GB (a sparse file; it grows past it)",
        validator=validators.gt(0),
    )
    sync: bool = setting(True, help="flush to the disk before a score counts as stored")


@frozen
class MemorySettings:
    """The memory cache has nothing to set."""
