"""Plain data from outside (JSON, TOML, the values of a checkpoint): bounded and of the expected
types before anything is done with it.
"""

from __future__ import annotations

import json
import math
import re
import sys
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import IO, Any, TypeVar, get_origin

import attrs

from llmattn.whole_files import open_file

__all__ = [
    "build",
    "check_depth",
    "check_plain",
    "from_json",
    "from_toml",
    "lines_of",
    "read_json",
    "toml_of",
]

T = TypeVar("T")

WRONG_DATA = (LookupError, TypeError, ValueError, AttributeError, OverflowError, RecursionError)
"""What data of another shape than expected makes its reader raise."""

MOST_DEPTH = 32
"""What we write is a few levels deep."""
MOST_BYTES = 1 << 26
"""Of a file that is read whole, or of a line of one."""
MOST_TOML_BYTES = 1 << 16
"""Of a configuration."""
MOST_INTEGER = 2**63 - 1

_DOTTED = re.compile(
    rf"""(?<![\w-])(?:(?:[\w-]+|"[^"\n]*"|'[^'\n]*')[ \t]*\.[ \t]*){{{MOST_DEPTH}}}"""
)
"""A key of many parts."""

_TYPES: dict[str, tuple[type, ...]] = {
    "int": (int,),
    "float": (float, int),
    "str": (str,),
    "bool": (bool,),
    "tuple[str, ...]": (list, tuple),
    "Mapping[str, Any]": (dict,),
    "str | list[str]": (str, list),
}


def from_json(text: str | bytes | memoryview, *, finite: bool = True) -> Any:
    """What JSON says. Raises ValueError for anything else, for a depth of more than MOST_DEPTH,
    and for whole numbers of more than 64 bits and numbers that are not finite. Not ``finite``: the
    latter two are floats, so that nonsense in one place does not hide what stands in another.
    """
    try:
        if not isinstance(text, str):
            text = str(text, json.detect_encoding(bytes(text[:4])))
        found = _JSON[finite].decode(text)
    except (RecursionError, MemoryError):
        raise ValueError("it is nested too deep or too large") from None
    check_depth(found)
    return found


def read_json(path: Path, *, finite: bool = True, most: int = MOST_BYTES) -> Any:
    """:func:`from_json` of a file. Raises OSError, and ValueError if it has over ``most`` bytes."""
    return from_json(_read(path, most), finite=finite)


def from_toml(path: Path) -> dict[str, Any]:
    """What a TOML file says. Raises OSError, and ValueError as :func:`from_json` does."""
    return toml_of(_read(path, MOST_TOML_BYTES).decode("utf-8"))


def toml_of(text: str) -> dict[str, Any]:
    """What TOML says. Raises ValueError as :func:`from_json` does, and for a larger text."""
    toml = import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    if len(text) > MOST_TOML_BYTES:
        raise ValueError(f"it is larger than {MOST_TOML_BYTES:,} bytes")
    try:
        if _DOTTED.search(text):  # which takes the reader time that grows with its square
            raise RecursionError
        found: dict[str, Any] = toml.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    check_plain(found, leaves=(object,))
    return found


def lines_of(file: IO[str], *, most: int = MOST_BYTES) -> Iterator[str]:
    """The lines of a text. Raises ValueError for one of ``most`` characters or more."""
    while line := file.readline(most):
        if len(line) == most:
            raise ValueError(f"the line is longer than {most:,} characters")
        yield line


def check_plain(value: Any, *, leaves: tuple[type, ...] = (), most: int = 1 << 24) -> None:
    """Raise ValueError unless ``value`` consists of dicts with strings or whole numbers as keys,
    lists, tuples, strings, numbers, None and objects of the types ``leaves``, is at most MOST_DEPTH
    deep, and counts at most ``most`` values: one that stands in many places counts in each.
    """
    level: list[Any] = [value]
    count = 0
    for _ in range(MOST_DEPTH):
        below: list[Any] = []
        for each in level:
            if isinstance(each, dict):
                for key in each:
                    _check_leaf(key, (str, int))
                below.extend(each.values())
            elif isinstance(each, (list, tuple)):
                below.extend(each)
            else:
                _check_leaf(each, (str, int, float, type(None), *leaves))
            if count + len(below) > most:
                raise ValueError(f"it holds more than {most:,} values")
        count += len(below)
        if not below:
            return
        level = below
    raise ValueError(f"it is nested more than {MOST_DEPTH} deep")


def check_depth(value: Any) -> None:
    """Raise ValueError if JSON's data is more than MOST_DEPTH deep."""
    level = _containers([value])
    for _ in range(MOST_DEPTH):
        if not level:
            return
        level = [inner for each in level for inner in _containers(each)]
    raise ValueError(f"it is nested more than {MOST_DEPTH} deep")


def _containers(value: Any) -> list[Any]:
    inside = value.values() if isinstance(value, dict) else value
    return [each for each in inside if isinstance(each, (dict, list))]


def build(kind: type[T], data: object, *, finite: bool = True) -> T:
    """An object of an attrs class from plain values, each of the type that its field states, and
    numbers ``finite``.

    Raises ValueError or TypeError if ``data`` is no such description, and what the class does.
    """
    if not isinstance(data, Mapping):
        raise TypeError(f"{kind.__name__} is described by names and values")
    described: Any = kind
    types = {field.name: _written(field.type) for field in attrs.fields(described)}
    check_types(data, types, finite=finite)
    return kind(**data)


def check_types(data: Mapping[str, Any], types: Mapping[str, str], *, finite: bool = True) -> None:
    """Raise ValueError or TypeError unless each value is of the type with that name, as attrs
    classes write it; types that are not known here are not looked at.
    """
    for name, value in data.items():
        if name not in types:
            raise ValueError(f"there is no {name!r}")
        wanted = _TYPES.get(types[name])
        if wanted is None:
            continue
        if not isinstance(value, wanted) or (isinstance(value, bool) and bool not in wanted):
            raise TypeError(f"{name} is {_shown(value)}, not of the type {types[name]}")
        if finite and isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name} is {value}")
        if isinstance(value, (list, tuple)) and not all(isinstance(v, str) for v in value):
            raise TypeError(f"{name} holds more than strings")


def _written(kind: Any) -> str:
    """A field's type as its class writes it, resolved (``attrs.resolve_types``) or not."""
    if isinstance(kind, type) and get_origin(kind) is None:
        return kind.__name__
    return re.sub(r"\b(?:typing|collections\.abc)\.", "", str(kind))


def _shown(value: object) -> str:
    return f"{str(value)[:40]!r}" if isinstance(value, (str, int, float)) else type(value).__name__


def _check_leaf(value: object, types: tuple[type, ...]) -> None:
    if not isinstance(value, types):
        raise ValueError(f"it holds an object of the type {type(value).__name__}")
    if isinstance(value, int):
        _integer_in_range(value)


def _integer_in_range(value: int) -> int:
    if not -MOST_INTEGER <= value <= MOST_INTEGER:
        raise ValueError("it holds a whole number of more than 64 bits")
    return value


def _integer(text: str) -> int:
    return _integer_in_range(int(text) if len(text) < 25 else MOST_INTEGER + 1)


def _number(text: str) -> int | float:
    value = float(text)
    return int(text) if abs(value) < MOST_INTEGER else value


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:20]} is no finite number")
    return value


_JSON = {
    True: json.JSONDecoder(parse_int=_integer, parse_float=_finite, parse_constant=_finite),
    False: json.JSONDecoder(parse_int=_number),
}


def _read(path: Path, most: int) -> bytes:
    with open_file(path) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise ValueError(f"it is larger than {most:,} bytes")
    return data
