"""Asks a provider for what the cache lacks: the single retry loop, limits, budget, one flight."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence

import anyio
import anyio.to_thread
import numpy as np
from attrs import evolve
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from llmattn.cache.protocol import ScoreCache
from llmattn.errors import (
    BadReply,
    BudgetExceeded,
    LlmattnError,
    PluginError,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from llmattn.providers.protocol import AttentionProvider, Estimator, Reply
from llmattn.rows import Row, Scores
from llmattn.scoring import retry
from llmattn.scoring.budget import Budget
from llmattn.scoring.limiter import AdaptiveLimiter
from llmattn.scoring.planner import merge_rows, pack
from llmattn.scoring.quality import Trial
from llmattn.scoring.report import FillReport
from llmattn.scoring.unknown import known_pairs, missing_rows, unknown_part
from llmattn.scoring.writer import GroupWriter
from llmattn.usage import Usage

__all__ = ["Scorer"]

log = logging.getLogger(__name__)

ROUNDS = 6
"""How often rows that came back unusable are packed anew; the last time key by key."""
BAD_IN_A_ROW = 20
"""After so many unusable replies one after the other the rest of a round is not asked: smaller
requests may go better, and if none does, little was spent."""
_ROWS_TO_JUDGE = 20


def _waiting(most: int) -> int:
    """How many answers may wait for the disk while ``most`` requests are under way: enough to
    hide some milliseconds of flushing behind the provider's answers.
    """
    return (most - 1) // 4


def _told(usage: Usage | None) -> Usage | None:
    """``usage`` if it tells tokens; a server that does not tell is taken at the estimate."""
    return usage if usage and (usage.prompt_tokens or usage.completion_tokens) else None


class Scorer:
    """Fills a cache from one provider. Lives on one event loop.

    ``before_asking`` is called before each request, ``on_progress`` after each reply with the
    report so far. Killing the process loses at most the requests under way and a quarter as many
    answers: with more waiting to be committed, nothing is sent. Fewer than five requests at once
    each wait for their commit.
    """

    def __init__(
        self,
        provider: AttentionProvider,
        cache: ScoreCache,
        *,
        budget: Budget,
        limiter: AdaptiveLimiter,
        trial: Trial | None = None,
        before_asking: Callable[[], None] = lambda: None,
        on_progress: Callable[[FillReport], None] = lambda report: None,
        notify: Callable[[str], None] = lambda message: None,
    ) -> None:
        self.provider = provider
        self.cache = cache
        self.budget = budget
        self.limiter = limiter
        self.trial = trial
        self._before_asking = before_asking
        self._on_progress = on_progress
        self._notify = notify
        self._estimator = provider if isinstance(provider, Estimator) else None
        self._name = provider.identity().provider
        self._writer = GroupWriter(cache, provider.identity())
        self._claimed: dict[tuple[str, tuple[str, ...]], anyio.Event] = {}
        self._unrecorded = Usage()
        self._held: list[tuple[Row, Scores]] = []
        self._halted = anyio.Event()
        self._error: LlmattnError | None = None
        self._stopped: str | None = None
        self._answered = False
        self._told = False
        self._kept = False
        self._bad_in_a_row = 0
        self._scopes: set[anyio.CancelScope] = set()

    async def fill(self, rows: Iterable[Row], report: FillReport) -> None:
        """Ask for everything in ``rows`` that the cache lacks, and keep it.

        ``report``, a new one, grows meanwhile. Ends early, with ``report.stopped`` set, when the
        budget is used up or after :meth:`stop`. Raises what made going on useless
        (ProviderRejected, a provider that stays away, BadReply, CacheError); all answers until
        then are kept.
        """
        wanted = merge_rows(rows)
        report.rows = len(wanted)
        report.pairs = sum(len(row.keys) for row in wanted)
        while wanted:
            mine, others = self._claim(wanted)
            try:
                missing = await anyio.to_thread.run_sync(
                    missing_rows, self.cache, self.provider, mine
                )
                asked = sum(len(row.keys) for row in missing)
                report.cached += sum(len(row.keys) for row in mine) - asked
                await self._ask_all(missing, report)
            finally:
                self._release(mine)
            for row in others:
                event = self._claimed.get((row.query, row.context))
                if event:
                    await event.wait()
            wanted = others
        report.stopped = self._stopped
        self._on_progress(report)
        if self._error:
            raise self._error

    def stop(self, reason: str, grace: float) -> None:
        """Send nothing more; answers under way are awaited for ``grace`` seconds at most."""
        self._halt(reason, None)
        for scope in self._scopes:
            scope.deadline = anyio.current_time() + grace

    def _claim(self, rows: Sequence[Row]) -> tuple[list[Row], list[Row]]:
        """Rows for us to ask, and rows that another fill is asking now."""
        mine, others = [], []
        for row in rows:
            key = row.query, row.context
            if key in self._claimed:
                others.append(row)
            else:
                self._claimed[key] = anyio.Event()
                mine.append(row)
        return mine, others

    def _release(self, rows: Iterable[Row]) -> None:
        for row in rows:
            self._claimed.pop((row.query, row.context)).set()

    def _pack(self, rows: Sequence[Row], round_: int) -> list[tuple[Row, ...]]:
        """Later rounds hold rows that failed before: smaller requests may go better."""
        limits = self.provider.limits
        smaller = evolve(
            limits,
            pairs_per_request=max(1, limits.pairs_per_request >> round_),
            rows_per_request=max(1, limits.rows_per_request >> round_),
            keys_per_row=1 if round_ == ROUNDS - 1 else limits.keys_per_row,
        )
        return pack(rows, smaller, self.provider.scope)

    async def _ask_all(self, rows: Sequence[Row], report: FillReport) -> None:
        unusable: list[Row] = list(rows)
        for round_ in range(ROUNDS):
            if not unusable or self._halted.is_set():
                break
            packed = self._pack(unusable, round_)
            if round_ == 0:
                report.requests_planned += len(packed)
                self._on_progress(report)
            requests, unusable = iter(packed), []
            self._bad_in_a_row = 0
            with anyio.CancelScope() as scope:
                self._scopes.add(scope)
                try:
                    async with anyio.create_task_group() as workers:
                        for _ in range(self.limiter.most + _waiting(self.limiter.most)):
                            workers.start_soon(self._work, requests, unusable, report)
                finally:
                    self._scopes.discard(scope)
            unusable = merge_rows(unusable)
        await self._end_trial(report)
        if unusable and not (report.cached or self._kept or self._halted.is_set()):
            raise BadReply(
                f"{self._name}: no usable scores came back in {ROUNDS} rounds of asking. "
                "Try another model; --debug shows what it answered."
            )

    async def _work(
        self, requests: Iterator[tuple[Row, ...]], unusable: list[Row], report: FillReport
    ) -> None:
        """Ask one request after the other; never raises."""
        for request in requests:
            if self._halted.is_set():
                return
            if self._bad_in_a_row >= BAD_IN_A_ROW:
                unusable.extend(request)
                continue
            try:
                unusable.extend(await self._ask(request, report))
            except BadReply as error:
                log.debug("unusable reply: %s", error)
                unusable.extend(request)
            except BudgetExceeded as error:
                self._halt(str(error), None)
            except LlmattnError as error:
                self._halt(None, error)
            except Exception as error:
                self._halt(None, self._fault(error))

    def _fault(self, error: Exception) -> PluginError:
        log.debug("fault of the plugin", exc_info=error)
        return PluginError(
            f"The provider {self._name!r} failed with {type(error).__name__}: {error}. "
            "Most likely that is a fault of its plugin; --debug shows where."
        )

    async def _ask(self, request: tuple[Row, ...], report: FillReport) -> list[Row]:
        """One request with its retries; gives the rows that came back unusable."""
        try:
            return await self._send(request, report)
        except retry.RETRIED as error:
            failed: LlmattnError | None = error

        async def again() -> list[Row]:
            nonlocal failed
            if failed:  # the first try was made without the loop, whose making costs more
                first, failed = failed, None
                raise first
            return await self._send(request, report)

        patience = retry.Patience()
        retrying = AsyncRetrying(
            retry=retry_if_exception_type(retry.RETRIED),
            wait=retry.pause,
            stop=lambda state: self._is_final(patience.ends(state, self._answered)),
            sleep=self._sleep,
            before_sleep=lambda state: self._before_retry(state, report),
            reraise=True,
        )
        unusable: list[Row] = await retrying(again)
        return unusable

    def _is_final(self, tried_enough: bool) -> bool:
        """Whether a failed request is given up."""
        return tried_enough or self._halted.is_set() or self._bad_in_a_row >= BAD_IN_A_ROW

    async def _send(self, request: tuple[Row, ...], report: FillReport) -> list[Row]:
        """Send once, within limits and budget, and commit what came back."""
        # Without a limit in dollars the estimate is wanted only if the answer tells no tokens.
        limited = self.budget.max_cost is not None
        reserve = self._estimate(request) if limited else Usage(1)
        tokens = self._likely_tokens(request) if self.limiter.counts_tokens else 0
        async with self.limiter.slot(tokens) as sent:
            if self._halted.is_set():
                return list(request)
            reserved = await self.budget.reserve(reserve)
            if self._halted.is_set():
                self.budget.release(reserved)
                return list(request)
            billed: Usage | None = None  # not known: it is taken at the estimate
            try:
                self._before_asking()
                reply = await self.provider.score(request)
                billed = _told(reply.usage)
            except RateLimited as error:
                billed = error.usage or Usage()
                self.limiter.refused(sent, error.retry_after)
                raise
            except ProviderUnavailable as error:
                billed = error.usage or (None if error.billed else Usage())
                if error.retry_after:
                    self.limiter.pause(error.retry_after)
                raise
            except BadReply as error:
                billed = _told(error.usage)
                self._bad_in_a_row += 1
                raise
            except ProviderError as error:
                billed = error.usage or Usage()
                raise
            finally:
                paid = self.budget.settle(reserved, billed or self._estimate(request))
                self._unrecorded += paid
                report.usage += paid
            self._answered = True
            self._bad_in_a_row = 0
            self.limiter.answered()
            if reply.rate:
                self.limiter.hint(reply.rate)
        unusable = await self._keep(request, reply, report)
        self._on_progress(report)
        return unusable

    async def _keep(self, request: tuple[Row, ...], reply: Reply, report: FillReport) -> list[Row]:
        """Commit the usable rows of a reply; gives the others."""
        complete = self._check(request, reply)
        answers = list(zip(request, reply.scores, strict=True))
        usable = [complete or not np.isnan(scores).any(axis=0).all() for scores in reply.scores]
        hold = [False] * len(answers)
        if self.trial:
            holds = self.trial.holds
            verdicts = self.trial.judge(reply.scores)
            try:
                self.trial.check()
            except LlmattnError as error:
                self._halt(None, error)
            holds = holds or self.trial.failed
            hold = [holds and verdict for verdict in verdicts]
            report.judged_rows, report.degenerate_rows = self.trial.rows, self.trial.bad
        kept: list[tuple[Row, Scores]] = []
        for answer, use, wait in zip(answers, usable, hold, strict=True):
            if use:
                (self._held if wait else kept).append(answer)
        await self._commit(kept, report)
        if self.trial and not self.trial.holds:
            await self._commit_held(report)
        if complete:
            return []
        parts = (unknown_part(row, scores, self.provider.scope) for row, scores in answers)
        return [part for part in parts if part is not None]

    async def _commit(self, answers: Sequence[tuple[Row, Scores]], report: FillReport) -> None:
        usage, self._unrecorded = self._unrecorded, Usage()
        await self._writer.put([row for row, _ in answers], [s for _, s in answers], usage)
        self._kept = self._kept or bool(answers)
        report.scored += known_pairs([scores for _, scores in answers])

    async def _end_trial(self, report: FillReport) -> None:
        """A run of fewer than 20 requests is judged at its end."""
        if not self.trial or not self._held or self.trial.failed:
            return
        if report.cached and self.trial.rows < _ROWS_TO_JUDGE:
            await self._commit_held(report)  # a small remainder says nothing of the model
            return
        try:
            self.trial.check(final=True)
        except LlmattnError as error:
            self._halt(None, error)
            return
        await self._commit_held(report)

    async def _commit_held(self, report: FillReport) -> None:
        held, self._held = self._held, []
        if held:
            await self._commit(held, report)

    def _check(self, request: tuple[Row, ...], reply: Reply) -> bool:
        """Whether every score is known. The wrong shape or range is a fault of the plugin."""
        shapes = [(len(self.provider.channels), len(row.keys)) for row in request]
        if [scores.shape for scores in reply.scores] != shapes:
            raise PluginError(
                f"The provider {self._name!r} gave scores of shapes "
                f"{[s.shape for s in reply.scores][:4]}, where {shapes[:4]} were asked for."
            )
        scores = np.concatenate(reply.scores, axis=1)
        if ((scores < 0) | (scores > 1)).any():
            raise PluginError(f"The provider {self._name!r} gave scores outside [0, 1].")
        return not np.isnan(scores).any()

    def _estimate(self, request: Sequence[Row]) -> Usage:
        return self._estimator.estimate(request) if self._estimator else Usage(1)

    def _likely_tokens(self, request: Sequence[Row]) -> int:
        """What a limit in tokens a minute is charged; the estimate is an upper bound."""
        if not self._estimator:
            return 0
        expected = self._estimator.expect(request)
        return expected.prompt_tokens + expected.completion_tokens

    def _before_retry(self, state: RetryCallState, report: FillReport) -> None:
        report.retries += 1
        error = state.outcome.exception() if state.outcome else None
        log.debug("try %d failed: %s", state.attempt_number, error)
        if isinstance(error, ProviderUnavailable) and not (self._answered or self._told):
            self._told = True
            self._notify(f"{error} Trying again for a while.")

    async def _sleep(self, seconds: float) -> None:
        """Sleep, but not past a halt."""
        with anyio.move_on_after(seconds):
            await self._halted.wait()

    def _halt(self, stopped: str | None, error: LlmattnError | None) -> None:
        """Send nothing more; the first reason counts."""
        if not self._halted.is_set():
            self._stopped, self._error = stopped, error
            self._halted.set()
