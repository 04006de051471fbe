"""Options as data: a field of a settings class carries all that is said of it.

The command line, its help, configuration files and the reference in docs/ are made from these.
Imports nothing heavy.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from typing import Any, Protocol

import attrs
from attrs import frozen

from llmattn.errors import ConfigError

__all__ = [
    "ASKING",
    "COURSE",
    "EXPERIMENT",
    "LIMITS",
    "MODEL",
    "PANELS",
    "RUN",
    "SCORES",
    "TEXT",
    "Option",
    "Refuses",
    "all_options",
    "comma_separated",
    "option",
    "options_of",
    "settled",
]

EXPERIMENT = "The experiment"
TEXT = "The text"
MODEL = "The model"
COURSE = "The course of training"
SCORES = "Where the scores come from"
ASKING = "How to ask"
LIMITS = "Limits in money and speed"
RUN = "The run"
PANELS = (EXPERIMENT, TEXT, MODEL, COURSE, SCORES, ASKING, LIMITS, RUN)
"""Headings of the help, in their order."""

_KEY = "llmattn.option"


@frozen
class Option:
    """What is said of a field that a user may set."""

    help: str
    panel: str = ""
    """The heading that it stands under."""
    name: str = ""
    """As in files, and dashed after ``--``, where the field's own name does not do."""
    short: str = ""
    """One more flag, such as ``-o``."""
    alias: str = ""
    """One more flag that is a whole name."""
    metavar: str | None = None
    """What the help calls its value."""
    wanted: str = ""
    """What its value must be, in words; empty if it may be anything of its type."""
    is_one: Callable[[Any], bool] | None = None
    """Tells whether a value is that."""
    most: float | None = None
    """More than anybody needs: a slip, or a file that wants to take all memory."""
    repeated: bool = False
    """Given several times, it has several values."""
    instead_of: str = ""
    """Another option of the command that must not stand beside it."""
    scope: str = ""
    """Of which scores it is, ``pair`` or ``prefix``; empty for both."""
    remembered: bool = False
    """A checkpoint tells it, although it is no field of its configurations."""
    written: bool = False
    """It names a file that is written, so no other option may name the same."""

    @property
    def flag(self) -> str:
        """As a person types it."""
        return _flag(self.name)


class Refuses(Protocol):
    """Knows which options a user has set."""

    def refuse(
        self,
        of: type[attrs.AttrsInstance],
        why_unread: Callable[[Option], str],
        *,
        chooser: str = "",
        files: bool = True,
    ) -> None:
        """Raise ConfigError for an option of the class ``of`` that the user set and nothing reads.

        ``why_unread``: why nothing reads one, and what to do; empty if something does. ``chooser``:
        the option that decides it, and ``files``: whether those of a configuration file count,
        where there is one.
        """
        ...


def option(
    default: Any,
    *,
    help: str,
    at_least: float | None = None,
    above: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    choices: Sequence[str] = (),
    converter: Callable[[Any], Any] | None = None,
    hashed: bool = True,
    **more: Any,
) -> Any:
    """A field of a settings class that a user may set. None for ``default``: left to the code.

    Another value than the bounds or ``choices`` allow raises ConfigError. ``converter`` takes also
    what a command line gives: a text, or a list of them if the option is repeated. ``hashed``:
    False for a mapping. ``more``: see :class:`Option`.
    """
    most = None
    if at_least is not None and at_most is not None and at_most > 1:
        most, at_most = at_most, None  # far off: told only to who passes it
    wanted, is_one = _bounds(at_least, above, at_most, below)
    if choices:
        wanted, is_one = f"one of {', '.join(choices)}", choices.__contains__
    return attrs.field(
        default=default,
        validator=_check if is_one else None,
        converter=converter,
        hash=None if hashed else False,
        metadata={_KEY: Option(help, wanted=wanted, is_one=is_one, most=most, **more)},
    )


def options_of(
    cls: type[attrs.AttrsInstance], *, scope: str | None = None
) -> Iterator[tuple[attrs.Attribute[Any], Option]]:
    """The options among the fields of a settings class, in their order, with types resolved;
    ``scope``: those of scores of this one alone.
    """
    return (each for each in _options_of(cls) if scope in (None, each[1].scope))


@cache
def _options_of(
    cls: type[attrs.AttrsInstance],
) -> tuple[tuple[attrs.Attribute[Any], Option], ...]:
    fields = [f for f in attrs.fields(attrs.resolve_types(cls)) if _KEY in f.metadata]
    said = [(field, field.metadata[_KEY]) for field in fields]
    return tuple((f, attrs.evolve(one, name=one.name or f.name)) for f, one in said)


def all_options(cls: type[attrs.AttrsInstance]) -> Iterator[Option]:
    """The options of a settings class, and of those that it holds."""
    yield from (said for _, said in options_of(cls))
    for field in attrs.fields(cls):
        if isinstance(field.type, type) and attrs.has(field.type):
            yield from all_options(field.type)


def settled(cls: type[attrs.AttrsInstance], values: Mapping[str, Any]) -> Any:
    """An object of a settings class from the values of its options, and of those of the classes
    that it holds, by their names; None leaves one to its default. Raises ConfigError.
    """
    make = getattr(cls, "from_options", cls)
    given = {
        each.name: values[said.name]
        for each, said in options_of(cls)
        if values.get(said.name) is not None
    }
    for each in attrs.fields(cls):
        if isinstance(each.type, type) and attrs.has(each.type):
            given[each.name] = settled(each.type, values)
    return make(**given)


def comma_separated(value: Any) -> tuple[str, ...]:
    """The converter of an option whose text is names with commas between."""
    if isinstance(value, str):
        return tuple(name.strip() for name in value.split(",") if name.strip())
    return tuple(value)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _check(instance: object, field: attrs.Attribute[Any], value: Any) -> None:
    """The validator of an option with bounds: None leaves the value to the code."""
    said: Option = field.metadata[_KEY]
    assert said.is_one is not None
    flag = _flag(said.name or field.name)
    if value is not None and not said.is_one(value):
        raise ConfigError(f"{flag} must be {said.wanted}, not {value}.")
    if value is not None and said.most is not None and value > said.most:
        raise ConfigError(f"{flag} must be at most {said.most:,}, not {value}.")


def _bounds(
    at_least: float | None, above: float | None, at_most: float | None, below: float | None
) -> tuple[str, Callable[[Any], bool] | None]:
    """The bounds in words, and what tells whether a number keeps them."""
    low = at_least if above is None else above
    high = at_most if below is None else below
    if low is None and high is None:
        return "", None

    def keeps(value: Any) -> bool:
        return (
            abs(value) < math.inf  # neither infinite nor no number
            and (at_least is None or value >= at_least)
            and (above is None or value > above)
            and (at_most is None or value <= at_most)
            and (below is None or value < below)
        )

    if (at_least, high) == (0, None):
        return "0 or more", keeps
    if (at_least is None) == (at_most is None) and None not in (low, high):
        return f"between {low} and {high}", keeps
    words = [
        f"{name} {bound}"
        for name, bound in (
            ("at least", at_least),
            ("above", above),
            ("at most", at_most),
            ("below", below),
        )
        if bound is not None
    ]
    return " and ".join(words), keeps
