"""What tests of scores in context share: a corpus of windows, and providers that score it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from llmattn.cache.open import open_cache
from llmattn.data.config import TextConfig
from llmattn.data.corpus import Corpus, load_corpus
from llmattn.identity import Identity
from llmattn.providers.protocol import Limits, Reply
from llmattn.rows import Row, Scope, Scores
from llmattn.scoring.options import ScoringOptions
from llmattn.scoring.source import ScoreSource

_FIRST = """\
The Ferry
A boat came over the river, slowly; nobody was aboard.
"Who goes there?" asked Ann, and the river said nothing.

It's late -- the boat is ours now. Ann went home.
Nobody saw the boat again. The river said nothing.
A boat came over the river, and Ann was aboard.
"""
TEXT = _FIRST + "\n" + _FIRST.replace("Ann", "Tom").replace("boat", "ferry")


def text_corpus(folder: Path, *, stream: bool = False) -> Corpus:
    """A text of twelve lines: eight to train, two to validate, two to test."""
    path = folder / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    return load_corpus(path, TextConfig(val_fraction=0.17, test_fraction=0.17, stream=stream))


def share(row: Row, channel: int = 0) -> Scores:
    """Scores that depend on all of the text so far and add up to 1, ``(len(row.keys),)``."""
    weights = [1 + (len(key) + 7 * n + channel) % 5 for n, key in enumerate(row.keys)]
    weights[-1] += sum(map(ord, "".join(row.keys))) % 11
    found: Scores = np.array(weights, np.float32) / np.float32(sum(weights))
    return found


class Maps:
    """A local provider of two channels, as a language model's attention maps are read."""

    scope = Scope.PREFIX
    channels: tuple[str, ...] = ("one", "two")
    limits = Limits(nested_rows=True, pairs_per_request=1 << 14, rows_per_request=1 << 10)
    local = True
    absent_score = None
    transform = "identity"
    normalised = True

    def __init__(self, name: str = "maps", unknown: Callable[[Row], bool] = lambda row: False):
        self.name = name
        self.rows: list[Row] = []
        self._unknown = unknown

    def identity(self) -> Identity:
        return Identity(self.name, 1, self.scope, self.channels)

    async def score(self, rows: Sequence[Row]) -> Reply:
        self.rows += rows
        return Reply([self._row(row) for row in rows])

    def _row(self, row: Row) -> Scores:
        if self._unknown(row):
            return np.full((2, len(row.keys)), np.nan, np.float32)
        return np.stack([share(row, 0), share(row, 1)])

    async def aclose(self) -> None:
        pass


class Pairs(Maps):
    """The same for pairs of words, one channel: the length of the key."""

    scope = Scope.PAIR
    channels = ("length",)

    def _row(self, row: Row) -> Scores:
        return np.array([[min(1, len(key) / 16) for key in row.keys]], np.float32)


def source_of(provider: Maps, folder: Path, **options: Any) -> ScoreSource:
    """``provider`` with a cache in ``folder``; ``options``: fields of ScoringOptions."""
    cache = open_cache("lmdb", cache_dir=folder)
    return ScoreSource(provider.name, provider, cache, ScoringOptions(quiet=True, **options))
