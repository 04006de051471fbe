"""What all ``llmattn cache`` commands share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Optional

import typer

from llmattn.cache.open import open_cache
from llmattn.cache.protocol import ScoreCache
from llmattn.cli.common import Json

__all__ = ["CacheDir", "CacheName", "Json", "opened"]

# Typer reads these at run time, and on Python 3.10 a union of Path and None must be written so.
CacheDir = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Folder of the cache (else LLMATTN_CACHE_DIR, else the user's)."),
]
CacheName = Annotated[str, typer.Option(help="Which cache: lmdb, or one that a plugin offers.")]


@contextmanager
def opened(name: str, folder: Path | None) -> Iterator[ScoreCache]:
    """The cache, closed at the end."""
    cache = open_cache(name, cache_dir=folder)
    try:
        yield cache
    finally:
        cache.close()
