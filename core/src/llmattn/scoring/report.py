"""What a run of scoring has done, for progress bars and summaries."""

from __future__ import annotations

import numpy as np
from attrs import define, field
from numpy.typing import NDArray

from llmattn.usage import Usage

__all__ = ["FillReport"]


@define
class FillReport:
    """Counts of one run; they grow while it goes on."""

    rows: int = 0
    pairs: int = 0
    """(query, key) pairs wanted; with context, (text, position) pairs."""
    cached: int = 0
    """Pairs that the cache had."""
    scored: int = 0
    """Pairs asked for and kept in this run."""
    rows_scored: int = 0
    """Rows that came back with scores, and were kept."""
    batched: int = 0
    """Pairs that a batch under way will answer, so that they were not asked for."""
    requests_planned: int = 0
    """Requests that it takes if every reply is usable."""
    usage: Usage = field(factory=Usage)
    retries: int = 0
    judged_rows: int = 0
    """Rows long enough to judge, since the source was opened."""
    degenerate_rows: int = 0
    """Those of them that carry nothing: all scores the same, or counting up."""
    stopped: str | None = None
    """Why the run ended early, in words; None if it did not."""
    trouble: str | None = None
    """The most frequent reason why pairs came back without usable scores, if any are left."""

    partial: dict[tuple[str, tuple[str, ...], tuple[str, ...]], NDArray[np.bool_]] = field(
        factory=dict, init=False, repr=False, eq=False
    )
    """Rows in context of which some keys are known, and which."""

    @property
    def left(self) -> int:
        """Pairs still unknown, and with no batch."""
        return self.pairs - self.cached - self.scored - self.batched

    def __add__(self, other: FillReport) -> FillReport:
        return FillReport(
            rows=self.rows + other.rows,
            pairs=self.pairs + other.pairs,
            cached=self.cached + other.cached,
            scored=self.scored + other.scored,
            rows_scored=self.rows_scored + other.rows_scored,
            batched=self.batched + other.batched,
            requests_planned=self.requests_planned + other.requests_planned,
            usage=self.usage + other.usage,
            retries=self.retries + other.retries,
            judged_rows=max(self.judged_rows, other.judged_rows),
            degenerate_rows=max(self.degenerate_rows, other.degenerate_rows),
            stopped=other.stopped or self.stopped,
            trouble=other.trouble or self.trouble,
        )
