"""What a user may say about scoring, the same for every command that scores."""

from __future__ import annotations

from attrs import field, frozen, validators

__all__ = ["ScoringOptions"]

_positive = validators.optional(validators.gt(0))
_not_negative = validators.optional(validators.ge(0))


@frozen
class ScoringOptions:
    """Whether to ask, and limits in money, requests and speed; None leaves one to the provider."""

    max_cost: float | None = field(default=None, validator=_not_negative)
    """US dollars."""
    max_requests: int | None = field(default=None, validator=_not_negative)
    price_in: float | None = field(default=None, validator=_not_negative)
    """US dollars a million prompt tokens."""
    price_out: float | None = field(default=None, validator=_not_negative)
    """US dollars a million reply tokens."""
    rpm: float | None = field(default=None, validator=_positive)
    """Requests a minute."""
    tpm: float | None = field(default=None, validator=_positive)
    """Tokens a minute."""
    max_wait: float = field(default=600.0, validator=validators.ge(0))
    """Seconds that a server may ask for before the next request; a longer wait ends the run."""
    requests_at_once: int | None = field(default=None, validator=_positive)
    max_degenerate: float = field(
        default=0.5, validator=validators.and_(validators.ge(0), validators.le(1))
    )
    """Share of rows that may carry nothing in the first 20 requests."""
    ask_batched: bool = False
    """Ask also for what a batch under way will answer: it is then paid twice."""
    quiet: bool = False
    """No progress bar."""
    ask: bool = True
    """False: the cache alone is read, and nothing is sent to anybody."""
