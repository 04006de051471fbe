"""Where packed scores lie beside a cache, so that forgetting a namespace forgets them too."""

from __future__ import annotations

import shutil
from pathlib import Path

from llmattn.cache.protocol import FileCache, MaybeReadOnly, ScoreCache

__all__ = ["forget_packed", "packed_folder"]


def packed_folder(cache: ScoreCache) -> Path | None:
    """The folder of packed scores beside a cache that is a file; None for any other, and beside
    one that cannot be written.
    """
    if isinstance(cache, MaybeReadOnly) and cache.read_only:
        return None
    return cache.path.parent / "packed" if isinstance(cache, FileCache) else None


def forget_packed(cache: ScoreCache, namespace: str) -> None:
    """Remove what was packed from the scores of ``namespace``."""
    folder = packed_folder(cache)
    if folder is not None:
        shutil.rmtree(folder / namespace, ignore_errors=True)
