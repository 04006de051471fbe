"""Finds the answer in what a model said: thoughts aside, JSON whatever stands around it."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from typing import Any

from llmattn.untrusted import from_json

__all__ = ["JsonObject", "find_answer", "last_object", "split_thoughts"]

_MAX_OBJECTS = 1000  # places in a reply where an object may begin; more is no reply of ours
_THOUGHT = re.compile(r"<(/?)(?:think|thinking|thought|reasoning)>", re.IGNORECASE)
_FENCE = re.compile(r"^```\w*|```$")
_TRAILING_COMMA = re.compile(r",(?=\s{0,99}[\]}])")


class JsonObject(dict[str, Any]):
    """A JSON object that remembers whether a name came twice."""

    repeated: str | None = None


def split_thoughts(text: str) -> tuple[str, str]:
    """``(answer, thoughts)``: what stands outside of ``<think>`` and the like, and inside.

    A mark that is never closed reaches to the end; before one that was never opened all is
    thought, as chat templates have it that open it themselves.
    """
    answer: list[str] = []
    thoughts: list[str] = []
    at, inside = 0, False
    for mark in _THOUGHT.finditer(text):
        closing = bool(mark[1])
        if closing and not inside:
            thoughts += answer
            answer.clear()
        (thoughts if inside or closing else answer).append(text[at : mark.start()])
        at, inside = mark.end(), not closing
    (thoughts if inside else answer).append(text[at:])
    return "".join(answer), "".join(thoughts)


def find_answer(
    text: str, *, cut: bool = False, last: bool = False
) -> JsonObject | list[Any] | None:
    """The last complete JSON object in ``text``; where there is none, ``text`` as a JSON array,
    as JSON inside a JSON string, or with quotes and commas mended.

    ``cut``: the text may end too early, so an object that another one follows, unfinished, was
    not the last. ``last``: an object counts only if nothing but marks of layout follow it.
    """
    found, end = _scan(text)
    if found is not None:
        rest = text[end:]
        if (cut and "{" in rest) or (last and rest.strip(" \t\r\n`.")):
            return None
        return found
    if cut or last:
        return None
    whole = _FENCE.sub("", text.strip()).strip()
    value: Any = None
    with suppress(ValueError):
        value = from_json(whole, finite=False)
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        return last_object(value)
    mended = _TRAILING_COMMA.sub("", text)
    return last_object(mended if '"' in mended else mended.replace("'", '"'))


def last_object(text: str) -> JsonObject | None:
    """The last complete JSON object in ``text`` that is not part of another, or None."""
    return _scan(text)[0]


def _scan(text: str) -> tuple[JsonObject | None, int]:
    """The last object, and where it ends."""
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    found, after, start = None, 0, text.find("{")
    for _ in range(_MAX_OBJECTS):
        if start < 0:
            break
        end = start + 1
        try:
            found, end = decoder.raw_decode(text, start)
            after = end
        except RecursionError:  # and so the next ones, each of which would take as long
            break
        except ValueError:  # also integers of 4,300 digits
            pass
        start = text.find("{", end)
    return found, after


def _object(pairs: list[tuple[str, Any]]) -> JsonObject:
    found = JsonObject()
    for name, value in pairs:
        if name in found:
            found.repeated = name
        found[name] = value
    return found
