"""How many requests may be under way: as many as the provider bears, fewer once it complains."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio

from llmattn.providers.protocol import RateHint

__all__ = ["AdaptiveLimiter", "Bucket", "sleep"]


async def sleep(seconds: float, halted: anyio.Event | None = None) -> None:
    """Sleep, but not past ``halted``."""
    if halted is None:
        await anyio.sleep(seconds)
        return
    with anyio.move_on_after(seconds):
        await halted.wait()


class Bucket:
    """A token bucket: ``rate`` a minute, refilled steadily, at most ``burst`` at once."""

    def __init__(self, rate: float, burst: float) -> None:
        self.rate = rate / 60
        self.burst = max(1.0, burst)
        self._level = self.burst
        self._at: float | None = None

    async def take(self, amount: float, halted: anyio.Event | None = None) -> None:
        """Wait until ``amount`` may be used. More than ``burst`` waits for a full bucket, and
        drives the level below 0: the next one waits for that.

        Nobody waits on once ``halted`` is set.
        """
        self._refill()
        lacking = min(amount, self.burst) - self._level
        self._level -= amount
        if lacking > 0:
            await sleep(lacking / self.rate, halted)

    def _refill(self) -> None:
        now = anyio.current_time()
        if self._at is not None:
            self._level = min(self.burst, self._level + (now - self._at) * self.rate)
        self._at = now


class AdaptiveLimiter:
    """Additive increase, multiplicative decrease of the requests under way.

    It starts at ``most``, halves at a refusal (once for all requests sent before it) and
    grows by one for every round of answers (Chiu and Jain 1989). ``rpm`` and ``tpm`` are
    requests and tokens a minute, for those who know their limits. Used from one event loop.
    """

    def __init__(self, most: int, *, rpm: float | None = None, tpm: float | None = None) -> None:
        self.most = most
        self.limit = float(most)
        self.under_way = 0
        self._requests = Bucket(rpm, rpm / 60) if rpm else None
        self._tokens = Bucket(tpm, tpm / 60) if tpm else None
        self._paused_until = -math.inf
        self._halved_at = -math.inf
        self._changed: anyio.Event | None = None

    @property
    def counts_tokens(self) -> bool:
        """Whether :meth:`slot` needs to know a request's tokens."""
        return self._tokens is not None

    @asynccontextmanager
    async def slot(self, tokens: int, halted: anyio.Event | None = None) -> AsyncIterator[float]:
        """Hold one of the places; gives the time at which the request may be sent.

        Once ``halted`` is set nobody waits for speed any more; the caller looks at it.
        """
        while self.under_way >= max(1, math.floor(self.limit)):
            self._changed = self._changed or anyio.Event()
            await self._changed.wait()
        self.under_way += 1
        try:
            if self._requests:
                await self._requests.take(1, halted)
            if self._tokens:
                await self._tokens.take(tokens, halted)
            while (wait := self.wait_left()) > 0 and not (halted and halted.is_set()):
                await sleep(wait, halted)
            yield anyio.current_time()
        finally:
            self.under_way -= 1
            self._wake()

    def answered(self) -> None:
        """A request was answered: one more may be tried after a whole round of them."""
        if self.limit < self.most:
            self.limit = min(self.most, self.limit + 1 / self.limit)
            self._wake()

    def refused(self, sent_at: float, retry_after: float | None) -> None:
        """The provider said 429: halve, and send nothing for ``retry_after`` seconds."""
        if sent_at > self._halved_at:
            self.limit = max(1.0, self.limit / 2)
            self._halved_at = anyio.current_time()
        if retry_after:
            self.pause(retry_after)

    def hint(self, rate: RateHint) -> None:
        """Obey what the server says it will still take: at nothing left, wait for its reset."""
        left = (
            (rate.remaining_requests, rate.reset_requests),
            (rate.remaining_tokens, rate.reset_tokens),
        )
        for remaining, reset in left:
            if remaining is not None and remaining <= 0 and reset:
                self.pause(reset)

    def wait_left(self) -> float:
        """Seconds for which nothing is sent, because the provider asks for it; 0: none."""
        return max(0.0, self._paused_until - anyio.current_time())

    def pause(self, seconds: float) -> None:
        """Send nothing for the next ``seconds``."""
        self._paused_until = max(self._paused_until, anyio.current_time() + seconds)

    def _wake(self) -> None:
        changed, self._changed = self._changed, None
        if changed:
            changed.set()
