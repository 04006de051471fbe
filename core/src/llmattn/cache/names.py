"""How a person names a namespace of a cache."""

from __future__ import annotations

from llmattn.cache.protocol import NamespaceInfo, ScoreCache
from llmattn.errors import CacheError

__all__ = ["describe", "find_namespace"]


def describe(info: NamespaceInfo) -> str:
    """Provider and, where there is one, model: ``openai gpt-5.4-mini``."""
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
