"""Which pairs are worth asking about: the most frequent first, as far as a share is covered."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from llmattn.errors import ConfigError
from llmattn.feeds.pairs import PairCounts

__all__ = [
    "SHARES",
    "CoveragePoint",
    "coverage_curve",
    "most_frequent",
    "select_pairs",
    "tiers",
]

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
