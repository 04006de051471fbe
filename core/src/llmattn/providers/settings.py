"""Settings of the built-in offline providers."""

from __future__ import annotations

from attrs import frozen, validators

from llmattn.rows import Scope
from llmattn.settings import setting

__all__ = ["SCOPES", "CooccurrenceSettings", "RandomSettings"]

SCOPES = tuple(scope.value for scope in Scope)
"""What a setting ``scope`` may be."""


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
    scope: str = setting(
        "pair",
        harmless=True,  # the identity has a scope of its own
        help="pair: a hash of both words; prefix: of the text so far, for each position of it",
        validator=validators.in_(SCOPES),
    )
    channels: int = setting(
        1,
        harmless=True,  # the identity tells their number where it is not 1
        help="how many scores a pair or position has, each saying nothing of the others",
        validator=validators.ge(1),
    )
