"""What all ``llmattn cache`` commands share: options, the open cache, names of namespaces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Annotated, Optional

import typer

from llmattn.cache.open import locate_cache, open_cache
from llmattn.cache.protocol import NamespaceInfo, ScoreCache
from llmattn.cli.common import Json
from llmattn.errors import CacheError
from llmattn.notices import notify

__all__ = ["CacheDir", "CacheName", "Json", "describe", "find_namespace", "opened", "told_apart"]

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
        with suppress(CacheError):  # of one that is no file nothing can be missing
            if not create and not (file := locate_cache(name, cache_dir=folder)).exists():
                notify(f"There is no cache at {file}.")
        yield cache
    finally:
        cache.close()


def describe(info: NamespaceInfo) -> str:
    """Provider and, where there is one, model: ``NAME MODEL``."""
    model = dict(info.identity.details).get("model")
    return f"{info.identity.provider} {model}" if model else info.identity.provider


def told_apart(listed: Sequence[NamespaceInfo]) -> list[str]:
    """What each namespace has scores of, in a few words: provider and model, or, where several
    have those, the provider and the settings in which they differ.
    """
    names = [describe(info) for info in listed]
    told = []
    for info, name in zip(listed, names, strict=True):
        like = [_said(each) for each, other in zip(listed, names, strict=True) if other == name]
        own = _said(info)
        differing = [k for k, v in own.items() if any(each.get(k) != v for each in like)]
        words = " ".join(f"{key}={own[key]}" for key in differing)
        told.append(f"{info.identity.provider} {words}" if words else name)
    return told


def _said(info: NamespaceInfo) -> dict[str, str]:
    """The settings of a namespace, the short ones first."""
    identity = info.identity
    said = {"revision": str(identity.revision), "scope": identity.scope.value}
    said |= {name: " ".join(str(value).split()) for name, value in identity.details}
    return dict(sorted(said.items(), key=lambda each: len(each[1])))


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
