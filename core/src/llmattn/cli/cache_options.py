"""What all ``llmattn cache`` commands share: options, the open cache, names of namespaces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Optional

import typer

from llmattn.cache.open import open_cache
from llmattn.cache.protocol import NamespaceInfo, ScoreCache
from llmattn.cli.common import Json
from llmattn.errors import CacheError

__all__ = ["CacheDir", "CacheName", "Json", "describe", "find_namespace", "opened"]

# Typer reads these at run time, and on Python 3.10 a union of Path and None must be written so.
CacheDir = Annotated[
    Optional[Path],  # noqa: UP045
    typer.Option(help="Folder of the cache (else LLMATTN_CACHE_DIR, else the user's)."),
]
CacheName = Annotated[str, typer.Option(help="Which cache: lmdb, or one that a plugin offers.")]


@contextmanager
def opened(name: str, folder: Path | None, *, create: bool = False) -> Iterator[ScoreCache]:
    """The cache, closed at the end; ``create``: made if it is not there."""
    cache = open_cache(name, cache_dir=folder, create=create)
    try:
        yield cache
    finally:
        cache.close()


def describe(info: NamespaceInfo) -> str:
    """Provider and, where there is one, model: ``NAME MODEL``."""
    model = dict(info.identity.details).get("model")
    return f"{info.identity.provider} {model}" if model else info.identity.provider


def find_namespace(cache: ScoreCache, name: str) -> NamespaceInfo:
    """The namespace whose id starts with ``name``, or the only one of that provider or model.

    Raises CacheError if none or several fit.
    """
    everything = cache.namespaces()
    found = [
        info
        for info in everything
        if info.namespace.startswith(name) or name in (info.identity.provider, describe(info))
    ]
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(f"{info.namespace[:12]} ({describe(info)})" for info in found)
        raise CacheError(f"{name!r} fits several namespaces: {several}. Give more of the id.")
    there = ", ".join(f"{info.namespace[:12]} ({describe(info)})" for info in everything)
    raise CacheError(f"No namespace is called {name!r}; the cache holds: {there or 'nothing'}.")
