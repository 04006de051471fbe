"""Fills a source's cache with pairs, the most frequent first where there is a limit."""

from __future__ import annotations

from collections.abc import Sequence

from llmattn.feeds.pairs import PairCounts
from llmattn.feeds.selection import tiers
from llmattn.rows import Row
from llmattn.scoring.report import FillReport
from llmattn.scoring.shard import Shard
from llmattn.scoring.source import ScoreSource
from llmattn.scoring.stages import fill_stages

__all__ = ["fill_pairs", "stages_of"]


def fill_pairs(
    source: ScoreSource,
    pairs: PairCounts,
    vocabulary: Sequence[str],
    shard: Shard = Shard(),
) -> FillReport:
    """Ask ``source`` for all of ``pairs`` that its cache lacks.

    With a limit that may end the run the pairs go in stages: what is paid for is then what
    covers most. Without one a query's keys stay together, which costs fewer tokens.
    ``shard`` leaves to other processes what is theirs. Raises what ``ScoreSource.fill`` raises.
    """
    stages = [shard.rows(rows) for rows in stages_of(source, pairs, vocabulary)]
    return fill_stages(source, lambda: stages)


def stages_of(source: ScoreSource, pairs: PairCounts, vocabulary: Sequence[str]) -> list[list[Row]]:
    """The rows of ``pairs`` in the stages in which ``source`` is asked for them."""
    whole = pairs.rows(vocabulary)
    if source.local or (
        not source.options.is_limited and source.permission.is_ample(source.work(whole))
    ):
        return [whole]
    return [stage.rows(vocabulary) for stage in tiers(pairs)]
