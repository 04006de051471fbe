"""Settings of the built-in offline providers."""

from __future__ import annotations

from attrs import frozen, validators

from llmattn.settings import setting

__all__ = ["CooccurrenceSettings", "RandomSettings"]


@frozen
class CooccurrenceSettings:
    """Co-occurrence in the user's own corpus."""

    window: int = setting(
        10, help="how many tokens back two words count as neighbours", validator=validators.ge(1)
    )


@frozen
class RandomSettings:
    """The control that knows nothing."""

    seed: int = setting(0, help="another seed gives other scores")
