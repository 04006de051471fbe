"""Whether a cache can be put into at all."""

from __future__ import annotations

from llmattn.cache.protocol import MaybeReadOnly, ScoreCache

__all__ = ["is_read_only"]


def is_read_only(cache: ScoreCache) -> bool:
    """Whether ``cache`` can be read, and nothing put."""
    return isinstance(cache, MaybeReadOnly) and cache.read_only
