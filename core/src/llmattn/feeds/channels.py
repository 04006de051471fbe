"""Which scores a model's channels are, of which source, and how the model reads them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from attrs import frozen

from llmattn.errors import PluginError
from llmattn.feeds.transform import choose_transform
from llmattn.identity import Identity
from llmattn.providers.protocol import MapProvider
from llmattn.rows import Scope
from llmattn.scoring.source import ScoreSource
from llmattn.untrusted import build

__all__ = ["Reading", "Scored", "channel_names", "in_order", "reading_of", "reads_texts"]


@frozen
class Reading:
    """How stored scores of texts become the model's.

    ``transform``: see ``choose_transform``. ``context_words``: how many tokens before a window
    the provider sees. ``normalised``: scores add up to 1 over a row, and shall do so over the
    window's part of it; a tuple if that holds for some channels only.
    """

    transform: str = "identity"
    context_words: int = 0
    normalised: bool | tuple[bool, ...] = False


@frozen
class Scored:
    """One provider whose scores a model reads: what a run said of it, to be compared.

    ``transform`` and ``context_words``: how PREFIX scores are read, see
    :class:`Reading`.
    """

    identity: Identity
    transform: str = "identity"
    context_words: int = 0

    @property
    def transforms(self) -> tuple[str, ...]:
        """``transform`` as names: one for all channels, or one for each."""
        return tuple(self.transform.split(","))

    def reading(self, source: ScoreSource) -> Reading:
        """How the model reads ``source``, opened again. Raises ConfigError or PluginError."""
        return reading_of(source, transform=self.transforms, context_words=self.context_words)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, which :meth:`from_dict` reads back."""
        return {**attrs.asdict(self, recurse=False), "identity": self.identity.to_dict()}

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Scored:
        """Raises KeyError, TypeError or ValueError if ``data`` is no such description."""
        read = {name: data[name] for name in ("transform", "context_words")}
        return build(cls, {**read, "identity": Identity.from_dict(data["identity"])})


def reads_texts(scored: Sequence[Scored]) -> bool:
    """Whether any of the scores are in context, which no checkpoint holds."""
    return any(each.identity.scope is Scope.PREFIX for each in scored)


def in_order(sources: Sequence[ScoreSource]) -> list[ScoreSource]:
    """The sources in the order of their channels: those of pairs first, in one table."""
    return sorted(sources, key=lambda source: source.identity.scope is Scope.PREFIX)


def channel_names(sources: Sequence[ScoreSource]) -> tuple[str, ...]:
    """The channels of all sources; with several sources each name tells its provider."""
    if len(sources) == 1:
        return sources[0].identity.channels
    return tuple(
        f"{s.name}.{channel}" for s in in_order(sources) for channel in s.identity.channels
    )


def reading_of(
    source: ScoreSource, *, transform: str | tuple[str, ...] = "auto", context_words: int = 0
) -> Reading:
    """How the model reads the scores of ``source``; ``transform``: see ``choose_transform``.

    Raises ConfigError or PluginError.
    """
    provider, channels = source.provider, len(source.identity.channels)
    stated: object = "identity"
    normalised: bool | tuple[bool, ...] = False
    if isinstance(provider, MapProvider):
        stated, normalised = provider.transform, provider.normalised
    if isinstance(normalised, tuple):
        if len(normalised) != channels:
            raise PluginError(
                f"The provider {source.name!r} says of {len(normalised)} channels whether their "
                f"scores add up to 1, and has {channels}. That is a fault of its plugin."
            )
        normalised = normalised[0] if len({*normalised}) == 1 else normalised
    chosen = choose_transform(stated, transform, channels, provider=source.name)
    return Reading(chosen, context_words, normalised)
