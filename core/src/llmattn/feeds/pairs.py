"""Pairs of words of a corpus: counted, and chosen, the most frequent first."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from llmattn.data.corpus import Corpus, Split
from llmattn.errors import ConfigError
from llmattn.rows import Row

__all__ = [
    "SHARES",
    "CoveragePoint",
    "PairCounts",
    "corpus_pairs",
    "count_pairs",
    "coverage_curve",
    "merge_counts",
    "most_frequent",
    "select_pairs",
    "tiers",
]

_FLUSH = 8_000_000  # pair codes held (64 MB) before they are counted
_OFTEN = 0.25  # keys of a query, as a share of the vocabulary, above which words are counted


@frozen(eq=False)
class PairCounts:
    """Unique (query, key) pairs of ids, sorted by query, then key.

    ``counts``: in how many attention positions a pair occurs.
    """

    query_ids: NDArray[np.int32]
    key_ids: NDArray[np.int32]
    counts: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.query_ids)

    def rows(self, vocabulary: Sequence[str]) -> list[Row]:
        """One PAIR row a query, its keys in the order of their ids."""
        words = np.array(vocabulary, dtype=object)
        queries, first = np.unique(self.query_ids, return_index=True)
        keys = np.split(words[self.key_ids], first[1:])
        return [
            Row(vocabulary[query], tuple(found))
            for query, found in zip(queries.tolist(), keys, strict=True)
        ]


def count_pairs(split: Split, *, block_size: int) -> PairCounts:
    """The pairs of each input with itself and the inputs before it in its piece.

    They are pairs of the words that scores are asked for. Special tokens are in no pair: they
    are nothing to ask a provider about.
    """
    pieces = split.pieces(block_size)
    special_ids, vocab_size = split.tokenizer.special_ids, len(split.tokenizer.scored_words)
    first = np.cumsum(pieces.lengths) - pieces.lengths
    place = np.arange(int(pieces.lengths.sum())) - np.repeat(first, pieces.lengths)
    tokens = split.ids[np.repeat(pieces.starts, pieces.lengths) + place].astype(np.int64)
    queries, keys = split.tokenizer.word_ids(tokens, place == 0)
    is_query, is_key = (~np.isin(ids, special_ids) for ids in (queries, keys))
    reach = np.bincount(queries, np.where(is_query, place + 1, 0), minlength=vocab_size)
    often = reach > _OFTEN * vocab_size
    often_found = _count_often(queries, keys, place, np.flatnonzero(often), is_key, vocab_size)
    is_query &= ~often[queries]
    found: list[PairCounts] = []
    waiting: list[NDArray[np.int64]] = []
    held = 0
    # One pass a distance; each takes only the positions that reach so far back.
    here = np.flatnonzero(is_query)
    for distance in range(int(pieces.lengths.max(initial=0))):
        here = here[place[here] >= distance]
        both = here[is_key[here - distance]]
        waiting.append(queries[both] * vocab_size + keys[both - distance])
        held += len(both)
        if held > _FLUSH:
            found.append(_counted(np.concatenate(waiting), vocab_size))
            waiting, held = [], 0
    if waiting:
        found.append(_counted(np.concatenate(waiting), vocab_size))
    return merge_counts([*found, often_found], vocab_size)


def _count_often(
    queries: NDArray[np.int64],
    keys: NDArray[np.int64],
    place: NDArray[np.int64],
    chosen: NDArray[np.int64],
    is_key: NDArray[np.bool_],
    vocab_size: int,
) -> PairCounts:
    """The pairs of the queries ``chosen``, whose keys are so many that a count of each word of
    the vocabulary costs less than sorting them.
    """
    order = np.argsort(queries, kind="stable")
    firsts = np.searchsorted(queries[order], chosen)
    lasts = np.searchsorted(queries[order], chosen, side="right")
    specials = np.unique(keys[~is_key])
    query_ids, key_ids, counts = [], [], []
    for query, first, last in zip(chosen.tolist(), firsts, lasts, strict=True):
        total = np.zeros(vocab_size, np.int64)
        here = order[first:last]
        ends = np.cumsum(place[here] + 1)
        for portion in np.split(here, np.searchsorted(ends, np.arange(_FLUSH, ends[-1], _FLUSH))):
            if len(portion):
                total += np.bincount(keys[_up_to(portion, place)], minlength=vocab_size)
        total[specials] = 0
        key = np.flatnonzero(total)
        query_ids.append(np.full(len(key), query, np.int32))
        key_ids.append(key.astype(np.int32))
        counts.append(total[key])
    if not query_ids:
        return merge_counts([], vocab_size)
    return PairCounts(np.concatenate(query_ids), np.concatenate(key_ids), np.concatenate(counts))


def _up_to(here: NDArray[np.int64], place: NDArray[np.int64]) -> NDArray[np.int64]:
    """Every position from the beginning of the piece up to each of ``here``."""
    reach = place[here] + 1
    ends = np.cumsum(reach)
    steps = np.ones(int(ends[-1]), np.int64)
    steps[0] = here[0] - place[here[0]]
    steps[ends[:-1]] = here[1:] - place[here[1:]] - here[:-1]
    return np.cumsum(steps)


def merge_counts(parts: Sequence[PairCounts], vocab_size: int) -> PairCounts:
    """Several counts as one, for example of the training and the validation lines."""
    if len(parts) == 1:
        return parts[0]
    if not parts:
        empty = np.zeros(0, np.int32)
        return PairCounts(empty, empty, np.zeros(0, np.int64))
    codes = np.concatenate([p.query_ids.astype(np.int64) * vocab_size + p.key_ids for p in parts])
    order = np.argsort(codes, kind="stable")  # fast for parts that are in order
    codes = codes[order]
    first = np.flatnonzero(np.diff(codes, prepend=-1))
    if not len(first):
        return merge_counts([], vocab_size)
    counts = np.add.reduceat(np.concatenate([p.counts for p in parts])[order], first)
    return _from_codes(codes[first], counts, vocab_size)


def _counted(codes: NDArray[np.int64], vocab_size: int) -> PairCounts:
    unique, counts = np.unique(codes, return_counts=True)
    return _from_codes(unique, counts, vocab_size)


def _from_codes(codes: NDArray[np.int64], counts: NDArray[np.int64], vocab_size: int) -> PairCounts:
    query, key = np.divmod(codes, vocab_size)
    return PairCounts(query.astype(np.int32), key.astype(np.int32), counts.astype(np.int64))


def corpus_pairs(corpus: Corpus, block_size: int) -> tuple[PairCounts, PairCounts]:
    """The pairs of the training lines, and of all lines together."""
    parts = [count_pairs(split, block_size=block_size) for split in corpus.splits]
    return parts[0], merge_counts(parts, len(corpus.words))


SHARES = (0.01, 0.05, 0.10, 0.25, 0.50, 1.0)
"""Shares of the pairs, most frequent first, at which coverage is told and asking is staged."""


@frozen
class CoveragePoint:
    """The most frequent ``share`` of the pairs covers ``coverage`` of the attention positions."""

    share: float
    pairs: int
    coverage: float


def _by_frequency(pairs: PairCounts) -> NDArray[np.int64]:
    """Indices, most frequent first; equal ones in their own order."""
    return np.argsort(-pairs.counts, kind="stable")


def _take(pairs: PairCounts, chosen: NDArray[np.int64]) -> PairCounts:
    chosen = np.sort(chosen)
    return PairCounts(pairs.query_ids[chosen], pairs.key_ids[chosen], pairs.counts[chosen])


def most_frequent(pairs: PairCounts, n: int) -> PairCounts:
    """The ``n`` most frequent pairs."""
    return _take(pairs, _by_frequency(pairs)[:n])


def coverage_curve(pairs: PairCounts, shares: Sequence[float] = SHARES) -> list[CoveragePoint]:
    """How far the most frequent pairs reach."""
    counts = pairs.counts[_by_frequency(pairs)].cumsum()
    points = []
    for share in shares:
        n = int(np.ceil(share * len(pairs)))
        covered = float(counts[n - 1] / counts[-1]) if n else 0.0
        points.append(CoveragePoint(share, n, covered))
    return points


def select_pairs(
    pairs: PairCounts, *, coverage: float = 1.0, min_pair_count: int = 1
) -> PairCounts:
    """The fewest pairs that cover ``coverage`` of all attention positions, and of those only
    the ones that occur at least ``min_pair_count`` times. Raises ConfigError.
    """
    if not 0 < coverage <= 1:
        raise ConfigError(f"--coverage must lie above 0 and not above 1, not {coverage}.")
    order = _by_frequency(pairs)
    counts = pairs.counts[order]
    wanted = coverage * counts.sum()
    enough = int(np.searchsorted(counts.cumsum(), wanted - 1e-9)) + 1
    enough = min(enough, int((counts >= min_pair_count).sum()))
    return _take(pairs, order[:enough])


def tiers(pairs: PairCounts, shares: Sequence[float] = SHARES) -> list[PairCounts]:
    """The pairs in stages, most frequent first, so that a budget is spent on them first."""
    order = _by_frequency(pairs)
    ends = [int(np.ceil(share * len(pairs))) for share in shares]
    starts = [0, *ends[:-1]]
    return [
        _take(pairs, order[start:end])
        for start, end in zip(starts, ends, strict=True)
        if end > start
    ]
