"""When to try a failed request again, and when to give up."""

from __future__ import annotations

from tenacity import RetryCallState
from tenacity.wait import wait_random_exponential

from llmattn.errors import BadReply, ProviderUnavailable

__all__ = ["give_up", "pause"]

TRIES = 10
"""For rate limits and server faults; with the pauses, up to three minutes."""
TRIES_BEFORE_CONTACT = 5
"""While no connection came about: some seconds."""
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


def give_up(state: RetryCallState, answered: bool) -> bool:
    """Whether the error is final. ``answered``: the provider has answered before."""
    error = _error(state)
    if isinstance(error, BadReply):
        return state.attempt_number >= TRIES_BAD_REPLY
    if isinstance(error, ProviderUnavailable) and not error.reached and not answered:
        return state.attempt_number >= TRIES_BEFORE_CONTACT
    return state.attempt_number >= TRIES
