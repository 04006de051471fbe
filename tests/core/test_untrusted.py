"""Plain data from outside: read within bounds, or a ValueError."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from attrs import frozen
from llmattn.untrusted import build, check_plain, from_json, from_toml, lines_of, read_json


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        '{"a": 1} x',
        "NaN",
        "[Infinity]",
        "-Infinity",
        "1e999",
        "1" + "0" * 30,
        "-" + "9" * 5000,
        "[" * 100_000,
        '{"a":' * 40 + "1" + "}" * 40,
        "[" * 40 + "]" * 40,
        b"\xff\xfe",
    ],
)
def test_json_that_is_not_plain_and_bounded_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_json(text)


def test_numbers_that_are_not_finite_are_read_on_wish() -> None:
    assert from_json("[Infinity]", finite=False) == [float("inf")]
    assert from_json("[-1" + "0" * 400 + "]", finite=False) == [float("-inf")]


def test_plain_json_is_read_as_it_is() -> None:
    assert from_json('{"a": [1, -2.5, null, true, "\\u00e9"]}') == {"a": [1, -2.5, None, True, "é"]}


def test_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text('"' + "a" * 100 + '"')
    with pytest.raises(ValueError, match="larger than 50 bytes"):
        read_json(tmp_path / "x.json", most=50)


def test_line_that_is_too_long_is_a_value_error() -> None:
    lines = lines_of(io.StringIO("short\n" + "x" * 100 + "\n"), most=50)
    assert next(lines) == "short\n"
    with pytest.raises(ValueError, match="longer than 50"):
        next(lines)


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 5000,
        "a" + ".a" * 10_000 + " = 1",
        '"a"' + '."a"' * 10_000 + " = 1",
        "a = 1" + "0" * 30,
        "a = {" + "b.c.d.e.f = {" * 300,
        "x" * 70_000 + " = 1",
    ],
    ids=["deep", "dotted", "quoted", "huge", "tables", "long"],
)
def test_toml_that_is_not_bounded_is_a_value_error(tmp_path: Path, text: str) -> None:
    (tmp_path / "x.toml").write_text(text)
    with pytest.raises(ValueError, match=r"."):
        from_toml(tmp_path / "x.toml")


def test_value_that_stands_in_many_places_counts_in_each() -> None:
    found: list[Any] = [1]
    for _ in range(20):
        found = [found, found]
    with pytest.raises(ValueError, match="more than 1,000 values"):
        check_plain(found, most=1000)


def test_list_within_itself_is_too_deep() -> None:
    found: list[Any] = []
    found.append(found)
    with pytest.raises(ValueError, match="nested"):
        check_plain(found)


@frozen
class Thing:
    name: str
    size: int = 1
    share: float = 0.5
    kept: bool = False
    parts: tuple[str, ...] = ()
    more: Mapping[str, Any] = {}
    either: str | list[str] = ""


@attrs.resolve_types
@frozen
class Resolved(Thing):
    """Its fields hold types, not their names: the command line asks for them so."""


def test_object_is_built_of_values_of_its_types() -> None:
    assert build(Thing, {"name": "x", "share": 1, "parts": ["a"]}) == Thing("x", 1, 1, False, ["a"])  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "data",
    [
        None,
        [],
        {},
        {"name": None},
        {"name": "x", "size": 1.0},
        {"name": "x", "size": True},
        {"name": "x", "share": "0.5"},
        {"name": "x", "share": float("nan")},
        {"name": "x", "kept": 1},
        {"name": "x", "parts": "ab"},
        {"name": "x", "parts": ["a", 1]},
        {"name": "x", "more": []},
        {"name": "x", "either": 1},
        {"name": "x", "colour": "red"},
        {"name": "x", 7: 1},
    ],
)
@pytest.mark.parametrize("kind", [Thing, Resolved])
def test_values_of_other_types_build_nothing(kind: type, data: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        build(kind, data)
