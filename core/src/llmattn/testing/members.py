"""Checks of what a provider says of itself: its members, its settings class, its optional parts."""

from __future__ import annotations

import difflib
import enum
import inspect
import re
from pathlib import Path
from typing import Any, cast

import attrs
import numpy as np

from llmattn.errors import LlmattnError
from llmattn.providers import protocol
from llmattn.providers.protocol import AttentionProvider, Limits, LocalProvider, MapProvider
from llmattn.rows import Row, Scope
from llmattn.settings import resolve, secret_settings
from llmattn.testing.findings import fail, shown
from llmattn.testing.subject import Subject, settings_of

__all__ = ["check_members", "check_optional_members", "check_readings", "check_settings_class"]

_OPTIONAL: tuple[Any, ...] = (
    protocol.NeedsText,
    protocol.LocalProvider,
    protocol.MapProvider,
    protocol.Estimator,
    protocol.BatchProvider,
)
_KEY = re.compile(
    r"(?:^|_)(?:api|access|auth|secret|account|subscription|service|private|session|bearer)_?"
    r"(?:key|token)$|^(?:key|token)$|(?:^|_)(?:secret|password|passwd|passphrase|pwd|credentials?)$",
    re.IGNORECASE,
)
_KEY_VARIABLE = re.compile("_(?:KEY|TOKEN)$")
_SINGLE = ("on_this_machine", "stand_in")


def members_of(kind: Any) -> set[str]:
    """What an object must have to be a ``kind``, a protocol."""
    return {name for name in (*vars(kind), *kind.__annotations__) if not name.startswith("_")}


def check_members(subject: Subject) -> None:
    """The protocol: scope, channels, limits, and three methods, two of them coroutines."""
    provider = subject.new()
    done, where = f"A {type(provider).__name__} was made", "the-provider"
    lacking = [name for name in sorted(members_of(AttentionProvider)) if not _has(provider, name)]
    if lacking:
        fail(
            done,
            f"it lacks {', '.join(lacking)}, so it lacks a member of AttentionProvider",
            "scope, channels, limits, identity(), score() and aclose()",
            where,
        )
    if not isinstance(provider.scope, Scope):
        fail(done, f"scope is {shown(provider.scope)}", "Scope.PAIR or Scope.PREFIX", where)
    if not isinstance(provider.limits, Limits):
        fail(done, f"limits are {shown(provider.limits)}", "a Limits object", where)
    channels: Any = provider.channels
    plain = isinstance(channels, tuple) and all(isinstance(c, str) and c for c in channels)
    if not plain or not channels or len(set(channels)) < len(channels):
        wanted = "a tuple of at least one channel, each a name of its own"
        fail(done, f"channels are {shown(channels)}", wanted, where)
    for name in ("score", "aclose"):
        if not inspect.iscoroutinefunction(getattr(provider, name)):
            fail(done, f"{name} is no coroutine function", f"async def {name}(...)", where)


def _has(provider: object, name: str) -> bool:
    try:
        getattr(provider, name)
    except AttributeError:
        return False
    return True


def check_optional_members(subject: Subject) -> None:
    """Optional members are spelt as llmattn reads them, and come in the sets that it looks for."""
    provider = subject.new()
    names = {name for name in dir(provider) if not name.startswith("_")}
    done = f"The members of {type(provider).__name__} were read"
    known = set(_SINGLE).union(*map(members_of, (*_OPTIONAL, AttentionProvider)))
    for name in sorted(names - known):
        close = difflib.get_close_matches(name, known - names, n=1, cutoff=0.85)
        if close:
            wanted = f"{close[0]}, if that is meant, or a name less like it"
            fail(done, f"there is one called {name!r}", wanted, "optional-members")
    for kind in _OPTIONAL:
        wanted_names = members_of(kind)
        lacking = wanted_names - names
        if lacking and lacking != wanted_names and kind is not protocol.BatchProvider:
            fail(
                done,
                f"there is {', '.join(sorted(wanted_names - lacking))} without "
                f"{', '.join(sorted(lacking))}",
                f"all of {kind.__name__}, or none: a part of it is not looked at",
                "optional-members",
            )
    local, absent = getattr(provider, "local", False), getattr(provider, "absent_score", None)
    if not isinstance(local, bool):
        fail(done, f"local is {shown(local)}", "True or False", "optional-members")
    number = isinstance(absent, (int, float, np.floating)) and not isinstance(absent, bool)
    if absent is not None and not (number and 0 <= absent <= 1):
        came = f"absent_score is {shown(absent)}"
        fail(done, came, "None, or a score in [0, 1]", "optional-members")
    _check_map(provider, done)


def _check_map(provider: AttentionProvider, done: str) -> None:
    if not isinstance(provider, MapProvider):
        return
    for name, allowed in (("transform", ("identity", "log")), ("normalised", (True, False))):
        value: Any = getattr(provider, name)
        each = value if isinstance(value, tuple) else (value,)
        if not all(type(one) in (str, bool) and one in allowed for one in each):
            wanted = f"{' or '.join(map(repr, allowed))}, or a tuple of such"
            fail(done, f"{name} is {shown(value)}", wanted, "optional-members")
        if isinstance(value, tuple) and len(value) != len(provider.channels):
            came = f"{name} has {len(value)} entries for {len(provider.channels)} channels"
            fail(done, came, "one for each channel, or one value for all", "optional-members")


def check_readings(subject: Subject) -> None:
    """Scores add up to 1 where ``normalised`` says so; ``absent_score`` is what is scored."""
    provider = subject.new()
    rows = [row for row in subject.probes() if len(row.keys) > 2]
    if isinstance(provider, MapProvider) and rows:
        requests = subject.packed(rows)
        answers = subject.ask(requests)
        sums = np.concatenate([v.sum(axis=1) for scores in answers for v in scores])
        sums = sums.reshape(-1, len(provider.channels))
        said = np.broadcast_to(np.array(provider.normalised), sums.shape[1:])
        for channel, name in enumerate(provider.channels):
            whole = np.isclose(np.nan_to_num(sums[:, channel]), 1, atol=1e-3)
            if said[channel] and not whole.all():
                odd = sums[~whole][0, channel]
                fail(
                    f"The scores of a row were added up in channel {name!r}",
                    f"their sum was {odd:.4g}, and normalised says that they add up to 1",
                    "normalised = False, or scores of which each row adds up to 1",
                    "optional-members",
                )
            if not said[channel] and whole.all():
                fail(
                    f"The scores of {len(sums)} rows were added up in channel {name!r}",
                    "each row adds up to 1, and normalised says that they do not",
                    "normalised = True: a window then shares its scores out anew",
                    "optional-members",
                )
    if isinstance(provider, LocalProvider) and provider.absent_score is not None:
        row = Row("xqzzy", ("qzxyv", "vvqxz"))
        ((scores,),) = subject.ask([[row]])
        if not np.allclose(scores, provider.absent_score, atol=max(1e-6, subject.tolerance)):
            fail(
                "A pair of words that stand in no text was asked",
                f"its score is {scores[0, 0]:.4g}, and absent_score says {provider.absent_score:g}",
                "the same number: pairs that were never asked are taken to have it",
                "optional-members",
            )


def check_settings_class(subject: Subject) -> None:
    """A frozen attrs class of fields made by ``setting``; defaults that hold; keys as Secret."""
    settings = settings_of(subject)
    cls: Any = type(settings)
    fields = attrs.fields(attrs.resolve_types(cls))
    done, where = f"The settings class {cls.__name__} was read", "the-settings"
    for each in fields:
        if "help" not in each.metadata:
            came = f"{each.name} was not made with setting()"
            fail(done, came, f"{each.name}: ... = setting(..., help=...)", where)
        if _names_a_key(each) and each.name not in secret_settings(cls) and _is_text(each.type):
            fail(
                done,
                f"{each.name} is a plain text, by its name a key: it would stand in the cache and "
                "be printed by `llmattn cache stats`",
                f"{each.name}: Secret = setting(..., harmless=True)",
                where,
            )
    if not _frozen(settings):
        fail(done, "its objects can be changed", "@frozen (attrs)", where)
    _check_defaults(cls, fields, settings)
    factory = subject.made.cls
    given = {
        each.name: getattr(settings, each.name)
        for each in fields
        if each.default is attrs.NOTHING and each.init
    }
    try:
        plain = cls(**given)
    except Exception as error:
        _bad_default(cls, error)
    made = subject.made.with_settings(plain)
    try:
        made()
    except LlmattnError:
        return  # what the settings lack is said in words; the author's make() gives it
    except Exception as error:
        fail(
            f"{factory.__name__} was made with the defaults of {cls.__name__}",
            f"{type(error).__name__} was raised: {shown(str(error), 200)}",
            "a default that is valid",
            where,
        )


def _names_a_key(each: Any) -> bool:
    env = each.metadata.get("env") or ""
    return bool(_KEY.search(each.name) or _KEY.search(env) or _KEY_VARIABLE.search(env))


def _is_text(kind: Any) -> bool:
    kinds = {k for k in getattr(kind, "__args__", (kind,)) if k is not type(None)}
    return kinds <= {str, bytes, Any}


def _frozen(settings: Any) -> bool:
    for each in attrs.fields(type(settings))[:1]:
        try:
            setattr(settings, each.name, getattr(settings, each.name))
        except attrs.exceptions.FrozenInstanceError:
            return True
        return False
    return True


def _bad_default(cls: type, error: Exception) -> None:
    words = error.args[0] if error.args else error
    fail(
        f"{cls.__name__} was made with its defaults",
        f"{type(error).__name__} was raised: {shown(str(words), 200)}",
        "a default that its own validator takes",
        "the-settings",
    )


def _check_defaults(cls: Any, fields: Any, settings: Any) -> None:
    """A default that is typed as an option gives itself again."""
    required = {
        each.name: _typed(getattr(settings, each.name))
        for each in fields
        if each.default is attrs.NOTHING and each.init
    }
    for each in fields:
        make = getattr(each.default, "factory", None)
        if each.default in (attrs.NOTHING, None) or (make and each.default.takes_self):
            continue
        default = make() if make else each.default
        text = _typed(default)
        if not text.strip():
            continue
        given = {**required, each.name: text}
        done = f"{each.name}={text} was given as an option, which is its default"
        try:
            read = getattr(resolve(cls, owner=cls.__name__, options=given, environ={}), each.name)
        except Exception as error:
            fail(
                done,
                f"{type(error).__name__} was raised: {shown(str(error), 200)}",
                "a default that is valid, of a type that a text can be read as: str, int, float, "
                "bool, Path or Secret",
                "the-settings",
            )
        if read != default or (type(read) is not type(default) and not isinstance(read, Path)):
            came = f"it was read as {shown(read)} and the default is {shown(default)}"
            fail(done, came, "a default of the type that the field says", "the-settings")


def _typed(value: Any) -> str:
    if hasattr(value, "reveal"):
        return cast(str, value.reveal())
    if isinstance(value, enum.Enum):
        value = value.value
    return str(value).lower() if isinstance(value, bool) else str(value)
