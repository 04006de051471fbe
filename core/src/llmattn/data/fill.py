"""Fills a source's cache with pairs, the most frequent first where there is a limit."""

from __future__ import annotations

from collections.abc import Sequence

from llmattn.data.pairs import PairCounts
from llmattn.data.selection import tiers
from llmattn.rows import Row
from llmattn.scoring.report import FillReport
from llmattn.scoring.shard import Shard
from llmattn.scoring.source import ScoreSource

__all__ = ["fill_pairs", "stages_of"]


def fill_pairs(
    source: ScoreSource,
    pairs: PairCounts,
    vocabulary: Sequence[str],
    shard: Shard = Shard(),
) -> FillReport:
    """Ask ``source`` for all of ``pairs`` that its cache lacks.

    With a limit the pairs go in stages, since the limit may end the run: what is paid for is
    then what covers most. Without one a query's keys stay together, which costs fewer tokens.
    ``shard`` leaves to other processes what is theirs. Raises what ``ScoreSource.fill`` raises.
    """
    stages = [shard.rows(rows) for rows in stages_of(source, pairs, vocabulary)]
    wanted = [sum(len(row.keys) for row in rows) for rows in stages]
    total = FillReport()
    for n, rows in enumerate(stages):
        later = FillReport(pairs=sum(wanted[n + 1 :]))
        total += source.fill(rows, beside=total + later)
    return total


def stages_of(source: ScoreSource, pairs: PairCounts, vocabulary: Sequence[str]) -> list[list[Row]]:
    """The rows of ``pairs`` in the stages in which ``source`` is asked for them."""
    options = source.options
    limited = options.max_cost is not None or options.max_requests is not None
    staged = tiers(pairs) if limited and not source.local else [pairs]
    return [stage.rows(vocabulary) for stage in staged]
