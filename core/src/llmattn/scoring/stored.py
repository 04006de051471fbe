"""What a cache has of a provider's rows, be it kept as a part of what holds more channels."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from llmattn.cache.protocol import ScoreCache
from llmattn.identity import Identity
from llmattn.providers.protocol import AttentionProvider, PartProvider
from llmattn.rows import Row, Scores

__all__ = ["stored_scores"]


def stored_scores(
    cache: ScoreCache, provider: AttentionProvider, rows: Sequence[Row]
) -> list[Scores]:
    """One float32 array ``(C, len(row.keys))`` a row; NaN where unknown, in all channels at once.

    A row that is not whole under the provider's own identity is put together from the channels of
    those that hold it (``PartProvider.wholes``), in their order.
    """
    own = provider.identity()
    found = cache.get(own, rows)
    if not isinstance(provider, PartProvider):
        return found
    lacking = [place for place, scores in enumerate(found) if np.isnan(scores).any()]
    for whole in provider.wholes:
        if not lacking:
            break
        ours, theirs = _shared(own, whole)
        parts = cache.get(whole, [rows[place] for place in lacking])
        for place, part in zip(lacking, parts, strict=True):
            taken = found[place].copy()
            taken[ours] = np.where(np.isnan(taken[ours]), part[theirs], taken[ours])
            found[place] = taken
        lacking = [place for place in lacking if np.isnan(found[place]).any()]
    for place in lacking:
        found[place][:, np.isnan(found[place]).any(axis=0)] = np.nan
    return found


def _shared(own: Identity, whole: Identity) -> tuple[list[int], list[int]]:
    """The channels that both have: their numbers in the one and in the other."""
    theirs = {name: number for number, name in enumerate(whole.channels)}
    shared = [(n, theirs[name]) for n, name in enumerate(own.channels) if name in theirs]
    return [ours for ours, _ in shared], [theirs for _, theirs in shared]
