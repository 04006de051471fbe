"""Whether a provider, and what it answers, is of the kind that ``AttentionProvider`` says: what is
not is a fault of its plugin, and told as one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmattn.errors import LlmattnError, PluginError
from llmattn.identity import Identity
from llmattn.isolation import is_interrupt, one_line
from llmattn.providers.protocol import AttentionProvider, Limits, LocalProvider, Reply
from llmattn.rows import Row, Scope
from llmattn.usage import Usage

__all__ = ["check_reply", "checked_identity"]

_WHOLE = ("pairs_per_request", "rows_per_request", "keys_per_row", "requests_at_once")


def checked_identity(name: str, provider: AttentionProvider) -> Identity:
    """The identity of a provider whose members are what they are to be; else raises PluginError."""

    def got(member: str, kind: type, *, called: bool = False) -> Any:
        try:
            found = getattr(provider, member)
            found = found() if called else found
        except LlmattnError:
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            what = member.replace("_", " ")
            raise PluginError(
                f"The provider {name!r} cannot tell its {what}: {one_line(error)}. That is a fault "
                "of its plugin; --debug shows where."
            ) from error
        if not isinstance(found, kind):
            raise _wrong(name, member, found, f"of the kind {kind.__name__}")
        return found

    scope, channels = got("scope", Scope), got("channels", Sequence)
    if isinstance(channels, str) or not all(isinstance(each, str) for each in channels):
        raise _wrong(name, "channels", channels, "a tuple of names")
    limits = got("limits", Limits)
    for each in _WHOLE:
        if not isinstance(getattr(limits, each), int):
            raise _wrong(name, f"limits.{each}", getattr(limits, each), "a whole number")
    identity: Identity = got("identity", Identity, called=True)
    if identity.scope is not scope:
        raise _wrong(name, "identity().scope", identity.scope, f"its scope, {scope}")
    if identity.channels != tuple(channels):
        raise _wrong(name, "identity().channels", identity.channels, f"its channels, {channels}")
    for member in ("score", "aclose"):
        if not callable(getattr(provider, member, None)):
            raise _wrong(name, member, getattr(provider, member, None), "a method")
    if isinstance(provider, LocalProvider):
        _check_local(name, provider)
    return identity


def _check_local(name: str, provider: LocalProvider) -> None:
    if not isinstance(provider.local, bool):
        raise _wrong(name, "local", provider.local, "True or False")
    absent = provider.absent_score
    number = isinstance(absent, (int, float)) and not isinstance(absent, bool)
    if absent is not None and not (number and 0 <= absent <= 1):
        raise _wrong(name, "absent_score", absent, "None, or a number from 0 to 1")


def _wrong(name: str, member: str, found: object, wanted: str) -> PluginError:
    try:
        shown = repr(found)[:80]
    except BaseException:
        shown = type(found).__name__
    return PluginError(
        f"The provider {name!r} has {one_line(shown)} as {member}, which must be {wanted}. That is "
        "a fault of its plugin: tell its authors."
    )


def check_reply(name: str, channels: int, request: Sequence[Row], reply: object) -> None:
    """Raise PluginError unless ``reply`` holds an array ``(channels, keys)`` of numbers in [0, 1],
    or NaN, for each row of ``request``.
    """
    if not isinstance(reply, Reply):
        raise _gave(name, f"{type(reply).__name__} where a Reply was asked for")
    if not isinstance(reply.usage, Usage):
        raise _gave(name, f"{type(reply.usage).__name__} as usage, where a Usage was asked for")
    for scores in reply.scores:
        if not isinstance(scores, np.ndarray):
            raise _gave(name, f"{type(scores).__name__} as scores of a row, not a numpy array")
        if scores.dtype.kind != "f":
            raise _gave(name, f"scores of the type {scores.dtype}, not float32")
    shapes = [(channels, len(row.keys)) for row in request]
    given = [scores.shape for scores in reply.scores]
    if given != shapes:
        raise _gave(name, f"scores of shapes {given[:4]}, where {shapes[:4]} were asked for")
    if any(((scores < 0) | (scores > 1)).any() for scores in reply.scores):
        raise _gave(name, "scores outside [0, 1]")


def _gave(name: str, what: str) -> PluginError:
    return PluginError(f"The provider {name!r} gave {what}. That is a fault of its plugin.")
