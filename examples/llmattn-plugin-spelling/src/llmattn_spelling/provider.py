"""The provider `spelling`: letters that two words share, and how alike they end."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from llmattn.plugin import Identity, Limits, Reply, Row, Scope, Scores, identity_details

from llmattn_spelling.settings import SpellingSettings

__all__ = ["SpellingProvider"]


class SpellingProvider:
    """Scores pairs of words. llmattn does the rest: caching, packing, retries, limits."""

    scope = Scope.PAIR
    channels = ("letters", "ending")
    limits = Limits()
    local = True  # costs nothing, needs no network
    absent_score = None

    def __init__(self, settings: SpellingSettings) -> None:
        self.settings = settings

    def identity(self) -> Identity:
        # Raise the revision when the same settings start to give other scores.
        return Identity("spelling", 1, self.scope, self.channels, identity_details(self.settings))

    async def score(self, rows: Sequence[Row]) -> Reply:
        return Reply([self._scores(row) for row in rows])

    async def aclose(self) -> None:
        pass

    def _scores(self, row: Row) -> Scores:
        """Shape (channels, keys), float32, from 0 to 1; NaN would mean: not known."""
        letters = [_shared(_pieces(row.query), _pieces(key)) for key in row.keys]
        ending = [self._alike_at_the_end(row.query, key) for key in row.keys]
        return np.array([letters, ending], np.float32)

    def _alike_at_the_end(self, one: str, other: str) -> float:
        most = self.settings.ending
        same = 0
        for a, b in zip(one[::-1][:most], other[::-1][:most], strict=False):
            if a != b:
                break
            same += 1
        return same / most


def _pieces(word: str) -> set[str]:
    """The three-letter pieces of a word, with its ends marked."""
    marked = f"<{word}>"
    return {marked[i : i + 3] for i in range(len(marked) - 2)}


def _shared(one: set[str], other: set[str]) -> float:
    """The share of pieces that both have (Jaccard)."""
    return len(one & other) / len(one | other)
