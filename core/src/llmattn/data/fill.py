"""Fills a source's cache with pairs, the most frequent first where there is a limit."""

from __future__ import annotations

from collections.abc import Sequence

from llmattn.data.pairs import PairCounts
from llmattn.data.selection import tiers
from llmattn.scoring.report import FillReport
from llmattn.scoring.shard import Shard
from llmattn.scoring.source import ScoreSource

__all__ = ["fill_pairs"]


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
    options = source.options
    limited = options.max_cost is not None or options.max_requests is not None
    stages = tiers(pairs) if limited and not source.local else [pairs]
    total = FillReport()
    for stage in stages:
        total += source.fill(shard.rows(stage.rows(vocabulary)))
    return total
