"""The rows of windows: a text as its author wrote it, from a window's start or before."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from llmattn.data.corpus import Pieces, Split
from llmattn.feeds.packed import entries
from llmattn.rows import Row, Scores

__all__ = ["row_portions", "text_portions", "window_rows", "window_scores"]

_NOTHING = "\u200b"
"""A character without width."""


def window_rows(
    written: Sequence[str],
    start: int,
    length: int,
    *,
    context_words: int = 0,
    first: int = 1,
    placed: bool = True,
) -> list[Row]:
    """Rows of the window ``written[start : start + length]``, from its row ``first`` on.

    Their keys begin up to ``context_words`` tokens before the window. Row 0 is not asked for:
    it has nothing to choose between. ``placed``: the rows tell where in ``written`` they stand,
    since what follows them there must not be shown beside them; not needed where nothing does.
    """
    begin = max(0, start - context_words)
    before = written[begin:start]
    window = list(written[start : start + length])
    # Where a line ends and the next begins there are two marks; the text has one line end.
    following = [*before, window[0]][1:]
    kept = [
        token
        for token, after in zip(before, following, strict=True)
        if not (after == "\n" and token.endswith("\n"))
    ]
    # A token is empty if it shares its only character with the one before; a row needs a query.
    words = tuple(token or _NOTHING for token in (*kept, *window))
    ends = range(len(kept) + max(first, 1), len(words))
    shift = start - len(kept)
    return [
        Row(words[end], words[: end + 1], words[:end], ((begin, shift + end),) if placed else ())
        for end in ends
    ]


def window_scores(
    scores: Scores, position: int, *, normalised: bool | tuple[bool, ...]
) -> NDArray[np.float32]:
    """The window's own columns of the row at ``position`` in it, ``(C, position + 1)``.

    Scores that are ``normalised`` (attention weights, which add up to 1) do so again: those of
    all channels or of none, or a tuple says of which.
    """
    own = scores[:, -(position + 1) :]
    if not normalised or own.shape == scores.shape:
        return own
    total = np.nansum(own, axis=1, keepdims=True)
    shares: NDArray[np.float32] = np.clip(own / np.where(total > 0, total, 1), 0, 1)
    if isinstance(normalised, tuple):
        return np.where(np.array(normalised)[:, None], shares, own)
    return shares


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
