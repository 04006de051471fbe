"""Settings of the provider `spelling`: `-o spelling.ending=3`, or SPELLING_ENDING."""

from __future__ import annotations

from attrs import frozen, validators
from llmattn.plugin import setting

__all__ = ["SpellingSettings"]


@frozen
class SpellingSettings:
    """Mark a setting ``harmless=True`` if it cannot change a score, such as a timeout."""

    ending: int = setting(
        4,
        env="SPELLING_ENDING",
        help="letters at the end that are compared",
        validator=validators.ge(1),
    )
