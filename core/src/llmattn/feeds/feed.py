"""Where a batch's scores come from; the model sees only their values."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from attrs import evolve, frozen
from numpy.typing import NDArray
from torch import Tensor

from llmattn.data.batches import Batch
from llmattn.data.corpus import Corpus
from llmattn.data.text_tokenizer import TextTokenizer
from llmattn.errors import ConfigError
from llmattn.feeds.derived import average_pairs, other_pieces
from llmattn.feeds.packed import PackedScores
from llmattn.feeds.table import ScoreTable

__all__ = [
    "Feeds",
    "JoinedFeed",
    "NoScores",
    "PackedFeed",
    "ScoreFeed",
    "TableFeed",
    "joined",
    "window_words",
]


class ScoreFeed(Protocol):
    """Gives a batch its scores.

    A feed of PAIR scope looks at the batch's ids alone. One of PREFIX scope, whose scores
    depend on the text before, finds them by ``batch.pieces``; each split has its own feed.
    """

    @property
    def channels(self) -> tuple[str, ...]:
        """Names of the C channels; none for a model without external scores."""
        ...

    def scores(self, batch: Batch) -> Tensor | None:
        """``(B, C, T, T)`` on the device of ``batch``, or None without channels."""
        ...


@frozen
class NoScores:
    """The feed of models that take no external scores."""

    channels: tuple[str, ...] = ()

    def scores(self, batch: Batch) -> None:
        """Nothing."""


def window_words(tokenizer: TextTokenizer | None, ids: Tensor) -> tuple[Tensor, Tensor]:
    """The scored words of windows ``(B, T)`` as queries, and as keys; see ``word_ids``.

    Without a tokenizer tokens are words.
    """
    if tokenizer is None or tokenizer.tokens_are_words:
        return ids, ids
    tokens = ids.cpu().numpy()
    begins = np.zeros(tokens.shape, np.bool_)
    begins[:, 0] = True
    found = tokenizer.word_ids(tokens.reshape(-1), begins.reshape(-1))
    queries, keys = (torch.from_numpy(a.reshape(tokens.shape)).to(ids.device) for a in found)
    return queries, keys


@frozen(eq=False)
class TableFeed:
    """Pair scores, looked up by the words that a batch's tokens are."""

    table: ScoreTable
    tokenizer: TextTokenizer | None = None
    """Tells the words of tokens that are not words themselves."""

    @property
    def channels(self) -> tuple[str, ...]:
        """The table's channels."""
        return self.table.channels

    def scores(self, batch: Batch) -> Tensor:
        """``(B, C, T, T)``, float16 or 255ths in uint8."""
        queries, keys = window_words(self.tokenizer, batch.ids)
        return self.table.gather(keys, queries=queries)


@frozen(eq=False)
class JoinedFeed:
    """The channels of several feeds, one after another."""

    parts: tuple[ScoreFeed, ...]

    @property
    def channels(self) -> tuple[str, ...]:
        """The channels of all parts."""
        return tuple(name for part in self.parts for name in part.channels)

    def scores(self, batch: Batch) -> Tensor | None:
        """``(B, C, T, T)``; float16, unless all parts have one other type."""
        found = [scores for part in self.parts if (scores := part.scores(batch)) is not None]
        if len({scores.dtype for scores in found}) > 1:
            found = [s.half() / 255 if s.dtype == torch.uint8 else s.half() for s in found]
        return torch.cat(found, dim=1) if found else None


@frozen(eq=False)
class Feeds:
    """The feeds of a corpus's splits, with ``channels`` of one name and order in all of them.

    ``table``: the pair scores among them, which every split shares. ``coverage``: the share of
    the training text's attention positions that is scored.
    """

    train: ScoreFeed
    val: ScoreFeed
    test: ScoreFeed | None = None
    channels: tuple[str, ...] = ()
    table: ScoreTable | None = None
    coverage: float = 1.0

    @property
    def checksum(self) -> str:
        """The CRC-32 of all scores of the splits, 8 hexadecimal digits: whether two runs have read
        the same ones.
        """
        feeds = [feed for feed in (self.train, self.val, self.test) if feed is not None]
        own = [part for feed in feeds for part in _parts(feed) if isinstance(part, PackedFeed)]
        found = 0
        for packed in own:
            found = zlib.crc32(packed.packed.checksum.to_bytes(4, "big"), found)
        if self.table is not None:
            known = self.table.known
            for array in (known.query_ids, known.key_ids, known.scores):
                found = zlib.crc32(np.ascontiguousarray(array).tobytes(), found)
        return f"{found:08x}"

    def shuffled(self, seed: int) -> Feeds:
        """The control for PREFIX scores: each window gets those of another window of its split.

        Pair scores stay as they are. Raises ConfigError if there are no PREFIX scores.
        """
        self._check_context("taken from other windows")
        return evolve(
            self,
            train=_shuffled(self.train, seed),
            val=_shuffled(self.val, seed),
            test=self.test and _shuffled(self.test, seed),
        )

    def averaged(self, corpus: Corpus, *, block_size: int) -> Feeds:
        """The control for PREFIX scores: each pair of words is worth its mean over the training
        windows, see ``average_pairs``.

        Pair scores stay as they are. Raises CacheError, or ConfigError if there are no PREFIX
        scores, or too many.
        """
        self._check_context("averaged over their contexts")
        splits = [_parts(feed) for feed in (self.train, self.val, self.test) if feed is not None]
        parts = [_averaged(feeds, corpus, block_size) for feeds in zip(*splits, strict=True)]
        train, val, *test = map(joined, zip(*parts, strict=True))
        return evolve(self, train=train, val=val, test=test[0] if test else None)

    def _check_context(self, what: str) -> None:
        if not any(isinstance(part, PackedFeed) for part in _parts(self.train)):
            raise ConfigError(
                f"Only scores of words in their context can be {what}; these belong to pairs of "
                "words. The control for them is the provider random."
            )


def _parts(feed: ScoreFeed) -> tuple[ScoreFeed, ...]:
    return feed.parts if isinstance(feed, JoinedFeed) else (feed,)


def joined(parts: Sequence[ScoreFeed]) -> ScoreFeed:
    """One feed with the channels of all ``parts``, in order."""
    return parts[0] if len(parts) == 1 else JoinedFeed(tuple(parts))


def _averaged(feeds: Sequence[ScoreFeed], corpus: Corpus, block_size: int) -> Sequence[ScoreFeed]:
    """Of one source: the feeds of all splits."""
    own = [feed for feed in feeds if isinstance(feed, PackedFeed)]
    if len(own) < len(feeds):
        return feeds
    means = average_pairs([feed.packed for feed in own], corpus, block_size=block_size)
    return [evolve(feed, packed=packed) for feed, packed in zip(own, means, strict=True)]


def _shuffled(feed: ScoreFeed, seed: int) -> ScoreFeed:
    if isinstance(feed, JoinedFeed):
        return JoinedFeed(tuple(_shuffled(part, seed) for part in feed.parts))
    return feed.shuffled(seed) if isinstance(feed, PackedFeed) else feed


@frozen(eq=False)
class PackedFeed:
    """The scores of a split's pieces, by their numbers.

    ``channels``: what the model calls those of ``packed``. ``order``: whose scores each piece
    gets, or None for its own.
    """

    packed: PackedScores
    channels: tuple[str, ...]
    order: NDArray[np.int64] | None = None

    def scores(self, batch: Batch) -> Tensor:
        """``(B, C, T, T)``, float16 or uint8; 0 where a piece has ended, and above the diagonal."""
        size, length = batch.ids.shape
        chosen = batch.pieces if self.order is None else self.order[batch.pieces]
        # A triangle of fewer rows is the beginning of one of more.
        shape = size, len(self.channels), length * (length + 1) // 2
        rows: NDArray[Any] = np.zeros(shape, self.packed.dtype)
        for place, (piece, source) in enumerate(zip(batch.pieces, chosen, strict=True)):
            own, other = self.packed.lengths[piece], self.packed.lengths[source]
            count = int(min(own, other, length))
            end = count * (count + 1) // 2
            rows[place, :, :end] = self.packed.triangle(int(source))[:, :end]
        square: NDArray[Any] = np.zeros((*shape[:2], length, length), self.packed.dtype)
        start = 0
        for row in range(length):
            square[:, :, row, : row + 1] = rows[:, :, start : start + row + 1]
            start += row + 1
        return torch.from_numpy(square).to(batch.ids.device)

    def shuffled(self, seed: int) -> PackedFeed:
        """The control: each piece gets the scores of another one, as long as itself.

        Where no other has its length, it gets the beginning of a longer one's. The longest of
        all, if it is alone, gets another's, and 0 in the rows which that one lacks. Raises
        ConfigError for a split of one piece.
        """
        return evolve(self, order=other_pieces(self.packed.lengths, seed))
