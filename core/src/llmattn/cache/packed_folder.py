"""Where packed scores lie beside a cache, so that forgetting a namespace forgets them too."""

from __future__ import annotations

import shutil
from pathlib import Path

from llmattn.cache.protocol import FileCache, ScoreCache
from llmattn.cache.read_only import is_read_only

__all__ = ["forget_packed", "packed_folder"]


def packed_folder(cache: ScoreCache) -> Path | None:
    """The folder of packed scores beside a cache that is a file; None for any other, and beside
    one that cannot be written.
    """
    if is_read_only(cache):
        return None
    return cache.path.parent / "packed" if isinstance(cache, FileCache) else None


def forget_packed(cache: ScoreCache, namespace: str) -> None:
    """Remove what was packed from the scores of ``namespace``."""
    folder = packed_folder(cache)
    if folder is not None:
        shutil.rmtree(folder / namespace, ignore_errors=True)
