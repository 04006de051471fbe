"""Keyword arguments of a function as settings objects, checked as the command line checks them."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar, get_args, get_origin

import attrs
import numpy as np
from attrs import frozen

from llmattn.errors import ConfigError
from llmattn.options import Option, all_options, options_of, settled
from llmattn.scoring.options import key_values
from llmattn.scoring.secret_settings import without_secrets
from llmattn.secrets import redact

__all__ = ["Stated", "string_path"]

T = TypeVar("T", bound=attrs.AttrsInstance)

_KINDS = {
    bool: ("True or False", (bool, np.bool_)),
    int: ("a whole number", (int, np.integer)),
    float: ("a number", (int, float, np.integer, np.floating)),
    str: ("a string", (str,)),
    Path: ("a path", (str, os.PathLike)),
}


@frozen
class Stated:
    """The options that a program states, by the names of the command's, but for ``options`` in
    place of ``--option``; None leaves one alone.

    ``function``: who takes them. ``classes``: whose options they are. ``defaults``: other ones
    than the classes'. ``without``: options of theirs that the function does not take. Raises
    ConfigError for an option that there is not, or that is of another type.
    """

    function: str
    values: Mapping[str, Any]
    classes: tuple[type[attrs.AttrsInstance], ...]
    defaults: Mapping[str, Any] = MappingProxyType({})
    without: Collection[str] = ()

    def __attrs_post_init__(self) -> None:
        options = [said for cls in self.classes for said in all_options(cls)]
        known = {_name(said) for said in options} - {*self.without}
        for said in options:
            if said.instead_of and {said.name, said.instead_of} <= self.names:
                raise ConfigError(f"{said.name} stands instead of {said.instead_of}: state one.")
        for name in self.values:
            if name not in known:
                near = difflib.get_close_matches(name, sorted(known), 1)
                hint = (
                    f"do you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}."
                )
                raise ConfigError(f"{self.function} takes no {name}: {hint}")

    @property
    def names(self) -> set[str]:
        """The options that were stated."""
        return {name for name, value in self.values.items() if value is not None}

    def build(self, cls: type[T]) -> T:
        """An object of one of the classes. Raises ConfigError."""
        values = dict(self.defaults)
        for field, said in _fields(cls):
            name = _name(said)
            if name in self.names and name not in self.without:
                values[said.name] = _checked(name, self.values[name], field.type, said)
        made: T = settled(cls, values)
        return made

    def refuse(
        self,
        of: type[attrs.AttrsInstance],
        why_unread: Callable[[Option], str],
        *,
        chooser: str = "",
        files: bool = True,
    ) -> None:
        """Raise ConfigError for a stated option of the class ``of`` that nothing reads."""
        for said in all_options(of):
            if _name(said) in self.names and (why := why_unread(said)):
                raise ConfigError(f"{said.flag} {why}")

    def call(self, first: Path, **more: Any) -> str:
        """The call as a program would write it again, without keys and passwords."""
        values = {name: self.values[name] for name in self.values if name in self.names}
        if "options" in values:
            texts = [f"{key}={value}" for key, value in values["options"].items()]
            providers = values.get("provider") or ()
            providers = (providers,) if isinstance(providers, str) else providers
            values["options"] = key_values(without_secrets(texts, providers))
        named = [f"{name}={_written(value)}" for name, value in {**values, **more}.items() if value]
        return redact(f"llmattn.{self.function}({', '.join([repr(str(first)), *named])})")


def string_path(value: object, what: str) -> Path:
    """A path that was given as a string or a path. Raises ConfigError for anything else."""
    if not isinstance(value, str | os.PathLike):
        raise ConfigError(f"{what} is named by a string or a path, not {_type(value)}.")
    return Path(value)


def _name(said: Option) -> str:
    """What a program calls an option."""
    return "options" if said.name == "option" else said.name


def _written(value: Any) -> str:
    return repr(os.fspath(value) if isinstance(value, os.PathLike) else value)


def _fields(cls: type[attrs.AttrsInstance]) -> Iterable[tuple[attrs.Attribute[Any], Option]]:
    yield from options_of(cls)
    for field in attrs.fields(cls):
        if isinstance(field.type, type) and attrs.has(field.type):
            yield from _fields(field.type)


def _checked(name: str, value: Any, kind: Any, said: Option) -> Any:
    """``value`` as an option of the type ``kind`` takes it. Raises ConfigError."""
    kinds = [each for each in get_args(kind) if each is not type(None)]
    if get_origin(kind) not in (tuple, Mapping) and type(None) in get_args(kind):
        kind = kinds[0]
    origin = get_origin(kind) or kind
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _texts(name, value)
    if origin is tuple:
        if isinstance(value, str):
            return (value,) if said.repeated else value
        if not isinstance(value, Iterable):
            value = [value]
        wanted = get_args(kind)[0]
        return tuple(_one(name, each, wanted) for each in value)
    return _one(name, value, origin)


def _one(name: str, value: Any, kind: Any) -> Any:
    words, types = _KINDS[kind]
    if not isinstance(value, types) or (isinstance(value, bool) and kind is not bool):
        raise ConfigError(f"{name} must be {words}, not {_type(value)}.")
    return kind(value)


def _texts(name: str, value: Any) -> Mapping[str, str]:
    """Settings of plugins, which are text."""
    if not isinstance(value, Mapping):
        raise ConfigError(
            f'{name} must be a dict such as {{"cooccurrence.window": 5}}, not {_type(value)}.'
        )
    return {
        str(key): str(each).lower() if isinstance(each, bool) else str(each)
        for key, each in value.items()
    }


def _type(value: object) -> str:
    shown = repr(value) if isinstance(value, str | int | float | bool | None) else ""
    kind = type(value).__name__
    return f"{shown[:40]} ({kind})" if shown else f"an object of the type {kind}"
