"""A larger run in stages: counted as a whole, permitted as a whole, shown as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import accumulate

from attrs import evolve

from llmattn.rows import Row
from llmattn.scoring.report import FillReport
from llmattn.scoring.source import ScoreSource
from llmattn.scoring.work import Work, fresh_rows

__all__ = ["fill_stages"]


def fill_stages(source: ScoreSource, stages: Callable[[], Iterable[Sequence[Row]]]) -> FillReport:
    """Ask ``source`` for all rows of the stages that its cache lacks, one stage after the other.

    ``stages`` is called twice, and gives the same each time: once for what the whole will take,
    which is told before anything is sent. Raises what ``ScoreSource.fill`` raises.
    """
    works: list[Work] = []
    rows_of_words: set[str] = set()  # a row of pairs may stand in several stages
    texts = 0
    for rows in fresh_rows(stages()):
        works.append(source.work(rows))
        rows_of_words.update(row.query for row in rows if not row.context)
        texts += len({row.keys for row in rows if row.context})
    whole = evolve(sum(works, Work()), rows=len(rows_of_words) + texts)
    if not source.options.ask:
        return source.unasked(whole)
    if not whole.lacking:
        return evolve(whole.report(), requests_planned=0)
    if not source.local:
        source.permission.ask(whole)
    later = list(accumulate(reversed(works), Work.__add__, initial=Work()))[-2::-1]
    total = FillReport()
    with source.showing():
        for rows, work, rest in zip(fresh_rows(stages()), works, later, strict=True):
            beside = total + rest.report()
            total += source.fill(rows, beside, planned=work.expected.requests)
    return evolve(total, rows=whole.rows)
