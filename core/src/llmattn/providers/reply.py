"""Reads a chat model's reply: any text gives scores or BadReply, never another exception."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from llmattn.errors import BadReply
from llmattn.rows import Row, Scores
from llmattn.secrets import redact

__all__ = ["LARGEST_SCORE", "excerpt", "last_object", "read_reply"]

LARGEST_SCORE = 9
"""Replies hold integers from 0 to this; a score is the integer divided by it."""

_MAX_OBJECTS = 1000  # places in a reply where an object may begin; more is no reply of ours


class _Object(dict[str, Any]):
    """A JSON object that remembers whether a name came twice."""

    repeated: str | None = None


def read_reply(text: str, rows: Sequence[Row], channels: Sequence[str]) -> tuple[Scores, ...]:
    """The scores in ``text``, one array ``(C, len(row.keys))`` a row.

    The last complete JSON object counts, whatever stands around it. A row whose scores are
    too few, too many, not integers or outside 0 to 9 is NaN in that channel. Raises BadReply
    if there is no object, a channel is missing, a name is repeated, the number of rows is
    wrong (then nothing can be aligned), or no row is usable.
    """
    found = last_object(text)
    if found is None:
        raise BadReply(f"The reply holds no complete JSON object: {excerpt(text)}")
    if found.repeated is not None:
        raise BadReply(f"The reply names {found.repeated[:40]!r} twice: {excerpt(text)}")
    scores = [np.full((len(channels), len(row.keys)), np.nan, np.float32) for row in rows]
    for channel, name in enumerate(channels):
        values = found.get(name)
        if not isinstance(values, list):
            raise BadReply(f"The reply has no list {name!r}: {excerpt(text)}")
        if len(values) != len(rows):
            raise BadReply(
                f"The reply has {len(values)} rows in {name!r} where {len(rows)} were asked: "
                f"{excerpt(text)}"
            )
        for row_scores, value in zip(scores, values, strict=True):
            numbers = _integers(value)
            if numbers is not None and len(numbers) == row_scores.shape[1]:
                row_scores[channel] = np.array(numbers, np.float32) / LARGEST_SCORE
    if rows and not any(np.isfinite(row).all() for row in scores):
        raise BadReply(f"No row of the reply has the scores that were asked: {excerpt(text)}")
    return tuple(scores)


def last_object(text: str) -> _Object | None:
    """The last complete JSON object in ``text`` that is not part of another, or None."""
    decoder = json.JSONDecoder(object_pairs_hook=_object)
    found, start = None, text.find("{")
    for _ in range(_MAX_OBJECTS):
        if start < 0:
            break
        end = start + 1
        with suppress(ValueError, RecursionError):  # ValueError: also integers of 4,300 digits
            found, end = decoder.raw_decode(text, start)
        start = text.find("{", end)
    return found


def excerpt(text: str, length: int = 200) -> str:
    """``text`` for a message: quoted, without secrets, shortened."""
    text = redact(text)
    return repr(text if len(text) <= length else f"{text[:length]}...")


def _object(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object()
    for name, value in pairs:
        if name in found:
            found.repeated = name
        found[name] = value
    return found


def _integers(value: object) -> list[int] | None:
    """The integers of one row, or None if any is not an integer from 0 to 9."""
    if isinstance(value, str):
        return list(map(int, value)) if value.isascii() and value.isdigit() else None
    if not isinstance(value, list):
        return None
    numbers = []
    for number in value:
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            return None
        if not 0 <= number <= LARGEST_SCORE or number != int(number):  # NaN fails the first
            return None
        numbers.append(int(number))
    return numbers
