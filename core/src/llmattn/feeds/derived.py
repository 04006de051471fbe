"""Controls of scores in context: those of another window, or the means of pairs over all of them.

Whether a text allows them is told before any score is asked for.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from llmattn.data.corpus import Corpus, Split
from llmattn.errors import ConfigError
from llmattn.feeds.packed import PackedScores, key_digest, open_packed, write_packed
from llmattn.feeds.pairs import count_pairs
from llmattn.rows import Scope
from llmattn.scoring.source import ScoreSource

__all__ = ["average_pairs", "check_averages", "check_control", "other_pieces"]

_LIMIT = 1 << 31
"""Bytes that the sums of all pairs and channels may take in memory."""


def other_pieces(lengths: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """For each piece the number of another one, see ``PackedFeed.shuffled``. Raises ConfigError."""
    if len(lengths) < 2:
        raise ConfigError("Scores of other windows need a text of more than one window.")
    random = np.random.default_rng(seed)
    order = np.empty(len(lengths), np.int64)
    for length in np.unique(lengths):
        alike = random.permutation(np.flatnonzero(lengths == length))
        if len(alike) > 1:
            order[alike] = np.roll(alike, 1)
            continue
        longer = np.flatnonzero(lengths > length)
        others = longer if len(longer) else np.flatnonzero(lengths < length)
        order[alike] = random.choice(others)
    return order


def average_pairs(
    packed: Sequence[PackedScores], corpus: Corpus, *, block_size: int
) -> list[PackedScores]:
    """The control of ``packed``, the scores of each of ``corpus.splits``, for the same windows.

    A pair of words is worth the mean of its scores in the training windows; one that does not
    occur there, or is of tokens that are no words (``word_ids``), the mean of all scores of the
    channel. A training window reads the means of the *other* ones: a pair that occurs in it alone
    would be worth what the provider said of this very text, and of new text a model never learns
    so much. Where the provider gave no score, what stands for it in ``packed`` counts.

    The files lie beside those of ``packed``, and are used again. Raises CacheError, or
    ConfigError if the sums would take too much memory.
    """
    tokenizer = hashlib.sha256(json.dumps(corpus.tokenizer.to_dict()).encode()).hexdigest()
    train = packed[0]
    sums: _Sums | None = None
    found = []
    for number, (scores, split) in enumerate(zip(packed, corpus.splits, strict=True)):
        key = {
            "averaged": [train.path.stem, train.checksum],
            "windows": scores.path.stem,
            "tokenizer": tokenizer,
            "left_out": number == 0,
            "dtype": scores.dtype.name,
        }
        path = scores.path.with_name(f"{key_digest(key)}.tri")
        made = open_packed(path, key)
        if made is None:
            sums = sums or _sums(train, corpus.train, block_size)
            made = write_packed(
                path,
                key,
                scores.channels,
                scores.lengths,
                scores.dtype.name,
                _triangles(sums, split, block_size, train if number == 0 else None),
                partial(float, scores.coverage),
            )
        found.append(made)
    return found


def check_averages(split: Split, *, channels: int, block_size: int) -> None:
    """Raise ConfigError if the sums of all pairs of ``split``, the training text, would take too
    much memory. Pairs are counted only where there may be too many of them.
    """
    lengths = split.pieces(block_size).lengths
    places = int((lengths * (lengths + 1) // 2).sum())
    most = min(places, len(split.tokenizer.scored_words) ** 2)
    if _size(most, channels) > _LIMIT:
        _check_size(len(count_pairs(split, block_size=block_size)), channels)


def _size(pairs: int, channels: int) -> int:
    """Bytes of the sums."""
    return 4 * channels * (pairs + 1)


def _check_size(pairs: int, channels: int) -> None:
    size = _size(pairs, channels)
    if size > _LIMIT:
        raise ConfigError(
            f"The averages of {pairs:,} pairs of words in {channels} channels "
            f"would take {size / 2**30:.1f} GiB of memory, and at most {_LIMIT >> 30} are allowed: "
            "leave out the averaged arm, or give it a shorter text, shorter windows (--block-size) "
            "or fewer channels."
        )


@frozen(eq=False)
class _Sums:
    """Of each pair its scores in the training windows, added up, ``(C, N)``, and their number.

    ``codes``: one number a pair, rising. The first stands for places without a pair of words,
    of which nothing is known.
    """

    codes: NDArray[np.int64]
    totals: NDArray[np.float32]
    counts: NDArray[np.int64]

    def find(self, codes: NDArray[np.int64]) -> NDArray[np.int64]:
        """Where the pairs of these codes stand; 0 for one that does not occur."""
        where = np.minimum(np.searchsorted(self.codes, codes), len(self.codes) - 1)
        return np.where(self.codes[where] == codes, where, 0)


@frozen(eq=False)
class _Window:
    """The pairs of a window: ``codes``, each once, and which of them each place of its triangle
    has, ``(L (L + 1) / 2,)``.
    """

    codes: NDArray[np.int64]
    pairs: NDArray[np.int64]

    def sums(
        self, packed: PackedScores, piece: int
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The window's own scores by pair, ``(C, N)``, and their number."""
        triangle, size = packed.triangle(piece), len(self.codes)
        scale = 255 if packed.dtype == np.uint8 else 1
        totals = np.stack([np.bincount(self.pairs, row, minlength=size) for row in triangle])
        return totals / scale, np.bincount(self.pairs, minlength=size)


def _windows(split: Split, block_size: int) -> Iterator[_Window]:
    tokenizer, pieces = split.tokenizer, split.pieces(block_size)
    vocab_size, special_ids = len(tokenizer.scored_words), tokenizer.special_ids
    for start, length in zip(pieces.starts.tolist(), pieces.lengths.tolist(), strict=True):
        begins = np.arange(length) == 0
        ids = split.ids[start : start + length].astype(np.int64)
        queries, keys = tokenizer.word_ids(ids, begins)
        row, column = np.tril_indices(length)
        # The first token's attention to itself is no provider's.
        is_query = ~(np.isin(queries, special_ids) | begins)
        known = is_query[row] & ~np.isin(keys, special_ids)[column]
        codes = np.where(known, queries[row] * vocab_size + keys[column], -1)
        yield _Window(*np.unique(codes, return_inverse=True))


def _sums(train: PackedScores, split: Split, block_size: int) -> _Sums:
    """One pass over the training windows. Raises ConfigError."""
    pairs = count_pairs(split, block_size=block_size)
    _check_size(len(pairs), len(train.channels))
    vocab_size = len(split.tokenizer.scored_words)
    codes = pairs.query_ids.astype(np.int64) * vocab_size + pairs.key_ids
    found = _Sums(
        codes=np.append(-1, codes),
        totals=np.zeros((len(train.channels), len(codes) + 1), np.float32),
        counts=np.zeros(len(codes) + 1, np.int64),
    )
    for piece, window in enumerate(_windows(split, block_size)):
        where = found.find(window.codes)
        totals, counts = window.sums(train, piece)
        found.totals[:, where] += totals
        found.counts[where] += counts
    found.totals[:, 0] = found.counts[0] = 0
    return found


def _triangles(
    sums: _Sums, split: Split, block_size: int, left_out: PackedScores | None
) -> Iterator[NDArray[np.float32]]:
    """The means for each window of ``split``, without those of its own scores in ``left_out``."""
    absent = sums.totals.sum(axis=1, dtype=np.float64) / max(1, sums.counts.sum())
    for piece, window in enumerate(_windows(split, block_size)):
        where = sums.find(window.codes)
        totals, counts = sums.totals[:, where].astype(np.float64), sums.counts[where]
        if left_out is not None:
            own, own_counts = window.sums(left_out, piece)
            totals -= own
            counts = counts - own_counts
        means = np.where(counts > 0, totals / np.maximum(counts, 1), absent[:, None])
        yield means.astype(np.float32)[:, window.pairs]


_PARTS = ("training", "validation", "test")


def check_control(
    arm: str, control: str, sources: Sequence[ScoreSource], corpus: Corpus, block_size: int
) -> None:
    """Raise ConfigError if the scores of ``arm``, those of ``sources``, cannot be ``control``:
    shuffled or averaged, or empty for neither.
    """
    in_context = [s.identity for s in sources if s.identity.scope is Scope.PREFIX]
    if control and not in_context:
        providers = "+".join(source.name for source in sources)
        verb = {"shuffled": "shuffle", "averaged": "average"}[control]
        raise ConfigError(
            f"The scores of {providers} belong to pairs of words, not to windows, "
            f"so there is nothing to {verb}: leave out /{control}. The control for them is "
            "the arm random."
        )
    if control == "shuffled":
        _check_windows(arm, corpus, block_size)
    if control == "averaged":
        for identity in in_context:
            channels = len(identity.channels)
            check_averages(corpus.train, channels=channels, block_size=block_size)


def _check_windows(arm: str, corpus: Corpus, block_size: int) -> None:
    for part, split in zip(_PARTS, corpus.splits, strict=False):
        if len(split.pieces(block_size)) < 2:
            raise ConfigError(
                f"The arm {arm!r} gives each window the scores of another one, and the {part} part "
                f"of this text is one window alone: give a smaller --block-size than {block_size}, "
                "a longer text, another --val-fraction or --test-fraction, or name the --arms "
                "without it."
            )
