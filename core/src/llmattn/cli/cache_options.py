"""Options that all ``llmattn cache`` commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

__all__ = ["CacheDir", "CacheName", "Json"]

# Typer reads these at run time, and on Python 3.10 a union of Path and None must be written so.
CacheDir = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Folder of the cache (else LLMATTN_CACHE_DIR, else the user's)."),
]
CacheName = Annotated[str, typer.Option(help="Which cache: lmdb, or one that a plugin offers.")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
