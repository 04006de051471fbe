"""Keeps what came back: checks a reply, judges its rows, commits them, gives back the unusable."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from llmattn.cache.protocol import ScoreCache
from llmattn.errors import DegenerateReplies, LlmattnError
from llmattn.providers.protocol import AttentionProvider, Reply
from llmattn.rows import Row, Scores
from llmattn.scoring.quality import Trial
from llmattn.scoring.report import FillReport
from llmattn.scoring.unknown import unknown_part
from llmattn.scoring.writer import GroupWriter
from llmattn.usage import Usage

__all__ = ["Keeper"]

_ROWS_TO_JUDGE = 20


class Keeper:
    """One cache for one provider's replies. While a trial runs, rows that carry nothing wait."""

    def __init__(self, provider: AttentionProvider, cache: ScoreCache, trial: Trial | None) -> None:
        self._provider = provider
        self._trial = trial
        self._writer = GroupWriter(cache, provider.identity())
        self._held: list[tuple[Row, Scores]] = []
        self._unrecorded = Usage()

    def paid(self, usage: Usage) -> None:
        """Note what was paid; it is recorded with the next commit."""
        self._unrecorded += usage

    def begin(self) -> None:
        """A run starts that no other runs beside: a trial that failed is held anew."""
        if self._trial and self._trial.failed:
            self._trial.restart()
            self._held.clear()

    async def keep(
        self,
        request: Sequence[Row],
        reply: Reply,
        report: FillReport,
        failed: Callable[[LlmattnError], None],
    ) -> list[Row]:
        """Commit the usable rows of a reply; gives the others.

        ``failed`` is told at once when too many rows carry nothing.
        """
        complete = not np.isnan(np.concatenate(reply.scores, axis=1)).any()
        answers = list(zip(request, reply.scores, strict=True))
        usable = [complete or not np.isnan(scores).any(axis=0).all() for scores in reply.scores]
        hold = [False] * len(answers)
        if trial := self._trial:
            holds = trial.holds
            verdicts = trial.judge(reply.scores)
            try:
                trial.check()
            except DegenerateReplies as error:
                failed(error)
            hold = [(holds or trial.failed) and verdict for verdict in verdicts]
            report.judged_rows, report.degenerate_rows = trial.rows, trial.bad
        kept: list[tuple[Row, Scores]] = []
        for answer, use, wait in zip(answers, usable, hold, strict=True):
            if use:
                (self._held if wait else kept).append(answer)
        await self._commit(kept, report)
        if self._trial and not self._trial.holds:
            await self._commit_held(report)
        if complete:
            return []
        parts = (unknown_part(row, scores, self._provider.scope) for row, scores in answers)
        return [part for part in parts if part is not None]

    def waiting(self, request: Sequence[Row]) -> list[Row]:
        """Those of ``request`` that are answered, and wait for the trial's end to be stored."""
        if not self._held:
            return []
        held = {id(row) for row, _ in self._held}
        return [row for row in request if id(row) in held]

    async def end(self, report: FillReport) -> None:
        """A run of fewer than 20 requests is judged at its end; raises DegenerateReplies."""
        if not self._trial or not self._held or self._trial.failed:
            return
        # A small remainder says nothing of the model.
        if not (report.cached and self._trial.rows < _ROWS_TO_JUDGE):
            self._trial.check(final=True)
        await self._commit_held(report)

    async def settle(self) -> None:
        """Record what was paid since the last commit, for requests that brought nothing to keep.

        Raises CacheError.
        """
        usage, self._unrecorded = self._unrecorded, Usage()
        if usage != Usage():
            await self._writer.put([], [], usage)

    async def _commit(self, answers: Sequence[tuple[Row, Scores]], report: FillReport) -> None:
        usage, self._unrecorded = self._unrecorded, Usage()
        await self._writer.put([row for row, _ in answers], [s for _, s in answers], usage)
        report.rows_scored += len(answers)
        report.scored += sum(_newly_known(row, scores, report) for row, scores in answers)

    async def _commit_held(self, report: FillReport) -> None:
        held, self._held = self._held, []
        if held:
            await self._commit(held, report)


def _newly_known(row: Row, scores: Scores, report: FillReport) -> int:
    """How many keys of ``row`` this reply was the first of a run to score. A row in context that
    came back with gaps is asked whole again, and what it had is not counted twice.
    """
    known = ~np.isnan(scores).any(axis=0)
    name = row.query, row.context, row.keys
    before = report.partial.pop(name, None)
    new = known if before is None else known & ~before
    if row.context and not known.all():
        report.partial[name] = np.asarray(known if before is None else known | before)
    return int(new.sum())
