"""Sends one request within limits and budget, and settles what it was billed."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Protocol

import anyio
import numpy as np
from attrs import evolve

from llmattn.allowance import allowed_by
from llmattn.causes import Cause
from llmattn.errors import (
    BadReply,
    BudgetExceeded,
    LlmattnError,
    ProviderError,
    ProviderUnavailable,
    RateLimited,
)
from llmattn.providers.protocol import (
    AttentionProvider,
    Estimator,
    LocalProvider,
    Reply,
)
from llmattn.rows import Row
from llmattn.scoring.budget import Budget
from llmattn.scoring.calls import Calls
from llmattn.scoring.limiter import AdaptiveLimiter
from llmattn.scoring.sizes import Sizes
from llmattn.scoring.sound import check_reply
from llmattn.usage import Usage

__all__ = ["Run", "Sender"]

_LONG_WAIT = 60.0  # seconds; a longer one is told
_MOST_TOKENS = 1e9  # of one request


class Run(Protocol):
    """Whom a request is sent for: it may be told to stop, and hears what was paid."""

    halted: anyio.Event

    def halt(self, stopped: str | None, error: LlmattnError | None) -> None: ...

    def paid(self, usage: Usage) -> None: ...


class Sender:
    """One provider with its limits in speed, money and size. Knows, across fills, what it has
    shown of itself; ``proven``: that it answers usably.
    """

    def __init__(
        self,
        provider: AttentionProvider,
        *,
        budget: Budget,
        limiter: AdaptiveLimiter,
        max_wait: float,
        before_asking: Callable[[], None],
        notify: Callable[[str], None],
        calls: Calls | None = None,
    ) -> None:
        self.provider = provider
        self.budget = budget
        self.limiter = limiter
        self.proven = False
        self.under_way = 0
        """Requests that are sent and not answered."""
        self.sizes = Sizes(provider)
        self.notify = notify
        self.name = provider.identity().provider
        self._max_wait = max_wait
        self._calls = calls or Calls(self.name, provider, None)
        self._before_asking = before_asking
        self._estimator = provider if isinstance(provider, Estimator) else None
        # One that needs no server may know nothing of a word, and is not to be given up for it.
        self._may_be_silent = isinstance(provider, LocalProvider) and provider.local
        self._told_until = 0.0

    async def send(self, request: Sequence[Row], run: Run) -> Reply | None:
        """Send once; None if the run was halted before. Raises ProviderError or BudgetExceeded."""
        self._mind_wait(run)
        # Without a limit in dollars the estimate is wanted only if the answer tells no tokens.
        limited = self.budget.max_cost is not None
        reserve = self._estimate(request) if limited else Usage(1)
        tokens = self._likely_tokens(request) if self.limiter.counts_tokens else 0
        async with self.limiter.slot(tokens, run.halted) as sent:
            if run.halted.is_set():
                return None
            reserved = await self.budget.reserve(reserve)
            if run.halted.is_set():
                self.budget.release(reserved)
                return None
            billed: Usage | None = None  # not known: it is taken at the estimate
            requests = claimed = 1

            def one_more() -> None:
                nonlocal claimed
                self.budget.reserve_one_more()
                claimed += 1

            self.under_way += 1
            try:
                self._before_asking()
                with allowed_by(one_more):
                    reply = await self._calls.within(lambda: self._calls.score(request))
                check_reply(self.name, len(self.provider.channels), request, reply)
                billed, requests = _told(reply.usage), reply.usage.requests
            except ProviderError as error:
                billed, requests = _billed(error), error.requests
                self._slow_down(error, sent, run)
                raise
            except BudgetExceeded:
                billed = Usage()  # what was sent until then was refused
                raise
            finally:
                self.under_way -= 1
                usage = evolve(billed or self._estimate(request), requests=max(claimed, requests))
                run.paid(self.budget.settle(reserved, usage, claimed))
            if not (self._may_be_silent or _says_something(reply)):
                raise BadReply(
                    f"{self.name}: {Cause.SCORES.sentence}. {Cause.SCORES.advice(self.name)}",
                    cause=Cause.SCORES,
                )
            self.proven = True
            self.limiter.answered()
            if reply.rate:
                self.limiter.hint(reply.rate)
        return reply

    def _slow_down(self, error: ProviderError, sent: float, run: Run) -> None:
        """Obey what a refusal says about speed."""
        if isinstance(error, RateLimited):
            self.limiter.refused(sent, error.retry_after)
        elif isinstance(error, ProviderUnavailable) and error.retry_after:
            self.limiter.pause(error.retry_after)
        else:
            return
        self._mind_wait(run)

    def _mind_wait(self, run: Run) -> None:
        """Tell of a long wait that the server asks for; end the run at one that is too long."""
        left = self.limiter.wait_left()
        if left <= _LONG_WAIT and left <= self._max_wait:
            return
        until = time.time() + left
        clock = time.strftime("%H:%M", time.localtime(until))
        if left > self._max_wait:
            error = RateLimited(
                f"{self.name}: the server asks for a wait until {clock} ({left:.0f} s), and "
                f"--max-wait allows {self._max_wait:g} s. Run the same command then, or allow it "
                f"with --max-wait {left + 60:.0f}.",
                retry_after=left,
            )
            run.halt(None, error)
        elif until > self._told_until + 1:
            self._told_until = until
            self.notify(f"{self.name}: waiting until {clock}, as the server asked.")

    def _estimate(self, request: Sequence[Row]) -> Usage:
        return self._estimator.estimate(request) if self._estimator else Usage(1)

    def _likely_tokens(self, request: Sequence[Row]) -> int:
        """What a limit in tokens a minute is charged; the estimate is an upper bound."""
        if not self._estimator:
            return 0
        expected = self._estimator.expect(request)
        return expected.prompt_tokens + expected.completion_tokens


def _told(usage: Usage | None) -> Usage | None:
    """``usage`` if it tells tokens that can be meant, else None."""
    if usage is None or not (usage.prompt_tokens or usage.completion_tokens):
        return None
    counts = (usage.prompt_tokens, usage.completion_tokens, usage.cost)
    return usage if all(0 <= count <= _MOST_TOKENS for count in counts) else None


def _billed(error: ProviderError) -> Usage | None:
    """What a failed request cost; None: as much as it may have."""
    if isinstance(error, BadReply):
        return _told(error.usage)
    if isinstance(error, ProviderUnavailable) and error.billed:
        return error.usage
    return error.usage or Usage()


def _says_something(reply: Reply) -> bool:
    return not reply.scores or any(not np.isnan(scores).all() for scores in reply.scores)
