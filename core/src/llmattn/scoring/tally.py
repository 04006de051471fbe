"""Counts the replies that were no use, by cause: when a provider is given up, and what is said."""

from __future__ import annotations

from collections import Counter

from llmattn.causes import Cause
from llmattn.errors import (
    BadReply,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
    TooLarge,
)
from llmattn.wording import counted

__all__ = ["Tally"]

MOST_OF_ONE_CAUSE = 3
"""Replies in which no model was heard, such as a web page: the next will be no other."""
MOST_REQUESTS = 5
"""Requests to a provider that has given no usable scores, whatever came back."""


class Tally:
    """What came back unusable in one fill."""

    def __init__(self) -> None:
        self.requests = 0
        self._causes: Counter[Cause | None] = Counter()
        self._said: dict[Cause | None, BadReply | TooLarge] = {}

    def note(self, error: BadReply | TooLarge) -> None:
        """Count a reply that was no use."""
        cause = error.cause if isinstance(error, BadReply) else None
        self.requests += error.requests
        self._causes[cause] += 1
        self._said[cause] = error

    def note_fault(self, error: ProviderUnavailable) -> None:
        """Count a server's fault, unless it says that it is busy, or none heard the request."""
        if error.reached and not error.busy:
            self.requests += error.requests

    @property
    def spent(self) -> bool:
        """Whether a provider that has never given usable scores has had all its requests."""
        return self.requests >= MOST_REQUESTS

    @property
    def hopeless(self) -> bool:
        """Whether a provider that has never given usable scores is asked no more."""
        repeated = any(
            times >= MOST_OF_ONE_CAUSE and cause is not None and not cause.of_model
            for cause, times in self._causes.items()
        )
        return repeated or self.spent

    @property
    def of_model(self) -> bool:
        """Whether a model answered each time, in whatever way."""
        return all(cause is not None and cause.of_model for cause in self._causes)

    @property
    def trouble(self) -> str | None:
        """The last words on the most frequent cause; None if nothing was unusable."""
        return str(self._most()) if self._causes else None

    def verdict(self, rounds: int | None = None) -> ProviderError:
        """The error that ends a run without any usable scores. ``rounds``: of asking in ever
        smaller requests, where there were several.
        """
        error = self._most()
        tried = (
            counted(self.requests, "request")
            if rounds is None
            else f"{counted(rounds, 'round')} of asking"
        )
        message = (
            f"{error} ({tried} brought no usable scores, so no more are sent; --debug shows the "
            "whole replies.)"
        )
        if isinstance(error, TooLarge):
            return ProviderRejected(message)
        return BadReply(message, cause=error.cause)

    def _most(self) -> BadReply | TooLarge:
        return self._said[self._causes.most_common(1)[0][0]]
