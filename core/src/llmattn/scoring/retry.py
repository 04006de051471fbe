"""When to try a failed request again, and when to give up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception
from tenacity.wait import wait_random_exponential

from llmattn.errors import BadReply, ProviderUnavailable, RateLimited

__all__ = ["RETRIED", "Patience", "patiently", "pause"]

T = TypeVar("T")

RETRIED = (RateLimited, ProviderUnavailable, BadReply)
"""Errors that are worth another try."""

TRIES = 10
"""For rate limits, and for server faults; with the pauses, up to three minutes."""
TRIES_BEFORE_CONTACT = 5
"""While the provider has not answered usably, and does not say that it is busy: some seconds."""
TRIES_BAD_REPLY = 3
"""Then the rows are packed anew, into smaller requests."""

_backoff = wait_random_exponential(multiplier=0.5, max=60)


def _error(state: RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome else None


def pause(state: RetryCallState) -> float:
    """Seconds until the next try: jittered, exponential (a bad reply is asked again at once).

    ``Retry-After`` is obeyed by the limiter, for all requests together.
    """
    return 0.0 if isinstance(_error(state), BadReply) else _backoff(state)


class Patience:
    """Counts the failures of one request, each kind by itself: a server that was overloaded
    twice has not yet given a bad reply.
    """

    def __init__(self) -> None:
        self._failures: Counter[type[BaseException] | None] = Counter()

    def ends(self, state: RetryCallState, proven: bool) -> bool:
        """Note a failure: is it final? ``proven``: the provider has answered usably before.

        Until then a request that came back unusable is not asked again as it was: another may
        show sooner whether the provider can answer at all.
        """
        error = _error(state)
        kind = next((kind for kind in RETRIED if isinstance(error, kind)), None)
        self._failures[kind] += 1
        most = TRIES
        if isinstance(error, BadReply):
            if not proven:
                return not error.provisional
            most = TRIES_BAD_REPLY
        elif isinstance(error, ProviderUnavailable) and not (proven or error.busy):
            most = TRIES_BEFORE_CONTACT
        return self._failures[kind] >= most


async def patiently(call: Callable[[], Awaitable[T]], *, max_wait: float) -> T:
    """Await ``call()``, again after rate limits and server faults, waiting as long as told, but
    no longer than ``max_wait`` seconds.

    Doing it twice does no harm.
    """
    patience = Patience()

    async def once() -> T:
        return await call()

    def again(error: BaseException) -> bool:
        if (getattr(error, "retry_after", None) or 0.0) > max_wait:
            return False
        return isinstance(error, (RateLimited, ProviderUnavailable))

    def wait(state: RetryCallState) -> float:
        told: float | None = getattr(_error(state), "retry_after", None)
        return max(_backoff(state), told or 0.0)

    retrying = AsyncRetrying(
        retry=retry_if_exception(again),
        wait=wait,
        stop=lambda state: patience.ends(state, proven=False),
        reraise=True,
    )
    done: T = await retrying(once)
    return done
