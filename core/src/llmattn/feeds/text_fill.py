"""The rows of a corpus's windows in portions, and a source's cache filled with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from llmattn.data.corpus import Corpus, Pieces, Split
from llmattn.feeds.packed import entries
from llmattn.feeds.windows import window_rows
from llmattn.rows import Row
from llmattn.scoring.report import FillReport
from llmattn.scoring.shard import Shard
from llmattn.scoring.source import ScoreSource
from llmattn.scoring.stages import fill_stages

__all__ = ["fill_splits", "fill_texts", "row_portions", "text_portions"]

_AT_ONCE = 1 << 23
"""Scores that are asked for and read together (32 MB, and as much again a few times over)."""


def row_portions(
    split: Split, pieces: Pieces, *, context_words: int, channels: int
) -> Iterator[tuple[range, list[Row]]]:
    """Numbers of pieces, and the rows of all of these, in order: so many as memory may hold.

    A piece of length L has L - 1 rows: see ``window_rows``.
    """
    written = split.written
    starts, lengths = pieces.starts.tolist(), pieces.lengths.tolist()
    sizes = (entries(pieces.lengths) + context_words * pieces.lengths) * channels
    portion = np.cumsum(sizes) // _AT_ONCE
    cuts = (np.flatnonzero(np.diff(portion)) + 1).tolist()
    for start, end in zip([0, *cuts], [*cuts, len(lengths)], strict=True):
        yield (
            range(start, end),
            [
                row
                for piece in range(start, end)
                for row in window_rows(
                    written, starts[piece], lengths[piece], context_words=context_words
                )
            ],
        )


def text_portions(
    splits: Sequence[Split], *, block_size: int, context_words: int = 0, channels: int = 1
) -> Iterator[list[Row]]:
    """The rows of all windows of ``splits``, as they are asked for: one by one, in portions."""
    for split in splits:
        for _, rows in row_portions(
            split, split.pieces(block_size), context_words=context_words, channels=channels
        ):
            yield rows


def fill_texts(
    source: ScoreSource,
    corpus: Corpus,
    *,
    block_size: int,
    context_words: int = 0,
    shard: Shard = Shard(),
) -> FillReport:
    """:func:`fill_splits` of all of ``corpus``."""
    return fill_splits(
        source, corpus.splits, block_size=block_size, context_words=context_words, shard=shard
    )


def fill_splits(
    source: ScoreSource,
    splits: Sequence[Split],
    *,
    block_size: int,
    context_words: int = 0,
    shard: Shard = Shard(),
) -> FillReport:
    """Ask ``source`` (of PREFIX scope) for all rows of the windows of ``splits`` that its cache
    lacks.

    ``shard`` leaves to other processes what is theirs. Raises what ``ScoreSource.fill`` raises.
    """

    def portions() -> Iterator[list[Row]]:
        for rows in text_portions(
            splits,
            block_size=block_size,
            context_words=context_words,
            channels=len(source.identity.channels),
        ):
            yield shard.rows(rows)

    return fill_stages(source, portions)
