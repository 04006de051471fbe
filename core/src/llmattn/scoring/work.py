"""What is wanted of a source: how much, what its cache has of it, and what the rest would take."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from attrs import frozen

from llmattn.cache.protocol import ScoreCache
from llmattn.providers.protocol import AttentionProvider
from llmattn.rows import Row
from llmattn.scoring.plan import expected_and_most
from llmattn.scoring.planner import merge_rows
from llmattn.scoring.report import FillReport
from llmattn.scoring.unknown import missing_rows
from llmattn.usage import Usage

__all__ = ["Work", "fresh_rows", "work_of"]


@frozen
class Work:
    """Counts of rows that are wanted. ``expected``: what the cache lacks is likely to take;
    ``most``: an upper bound, if every reply is usable.
    """

    rows: int = 0
    pairs: int = 0
    cached: int = 0
    batched: int = 0
    """Pairs that a batch under way will answer."""
    expected: Usage = Usage()
    most: Usage = Usage()

    def __add__(self, other: Work) -> Work:
        return Work(
            self.rows + other.rows,
            self.pairs + other.pairs,
            self.cached + other.cached,
            self.batched + other.batched,
            self.expected + other.expected,
            self.most + other.most,
        )

    @property
    def lacking(self) -> int:
        """Pairs that are to be asked for."""
        return self.pairs - self.cached - self.batched

    def report(self) -> FillReport:
        """The same as what a fill counts, before anything is asked."""
        return FillReport(
            rows=self.rows,
            pairs=self.pairs,
            cached=self.cached,
            batched=self.batched,
            requests_planned=self.expected.requests,
        )


def work_of(
    provider: AttentionProvider,
    cache: ScoreCache,
    rows: Sequence[Row],
    unbatched: Callable[[Sequence[Row]], list[Row]] = list,
) -> Work:
    """Count ``rows``; ``unbatched`` leaves out what a batch will answer. Nothing is sent. Raises
    CacheError.
    """
    wanted = merge_rows(rows)
    missing = missing_rows(cache, provider, wanted)
    free = unbatched(missing)
    pairs, lacking, left = (sum(len(row.keys) for row in each) for each in (wanted, missing, free))
    expected, most = expected_and_most(provider, free)
    return Work(len(wanted), pairs, pairs - lacking, lacking - left, expected, most)


def fresh_rows(stages: Iterable[Sequence[Row]]) -> Iterator[list[Row]]:
    """The rows of each stage without the texts that stood in an earlier one: windows that begin
    alike share their first rows, which are asked for, and counted, once.
    """
    known: set[int] = set()
    for rows in stages:
        own = [row for row in rows if not row.context or hash(row.keys) not in known]
        yield own
        known.update(hash(row.keys) for row in own if row.context)
