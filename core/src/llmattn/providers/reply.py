"""Reads a chat model's reply: any text gives scores or BadReply, never another exception."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from llmattn.causes import Cause
from llmattn.errors import BadReply
from llmattn.providers.reply_text import JsonObject, find_answer, last_object
from llmattn.rows import Row, Scores
from llmattn.secrets import redact
from llmattn.usage import Usage

__all__ = ["LARGEST_SCORE", "bad_reply", "excerpt", "last_object", "read_reply"]

LARGEST_SCORE = 9
"""Replies hold integers from 0 to this; a score is the integer divided by it."""

_DIGITS = {str(digit): digit for digit in range(LARGEST_SCORE + 1)}


def read_reply(
    text: str,
    rows: Sequence[Row],
    channels: Sequence[str],
    *,
    cut: bool = False,
    last: bool = False,
) -> tuple[Scores, ...]:
    """The scores in ``text``, one array ``(C, len(row.keys))`` a row.

    The last complete JSON object counts, whatever stands around it (``cut``, ``last``: see
    ``reply_text.find_answer``). A row whose scores are too few, too many, not integers or
    outside 0 to 9 is NaN in that channel. Raises BadReply, with its cause, if there is no
    object, a channel is missing, a name is repeated, the number of rows is wrong (then nothing
    can be aligned), or no row is usable.
    """
    found = find_answer(text, cut=cut, last=last)
    if found is None:
        raise _bad(Cause.NO_JSON, text)
    scores = [np.full((len(channels), len(row.keys)), np.nan, np.float32) for row in rows]
    for channel, name in enumerate(channels):
        values = _rows_of(found, name, rows, channels, text)
        for row_scores, value in zip(scores, values, strict=True):
            numbers = _integers(value)
            if numbers is not None and len(numbers) == row_scores.shape[1]:
                row_scores[channel] = np.array(numbers, np.float32) / LARGEST_SCORE
    if rows and not any(np.isfinite(row).all() for row in scores):
        raise _bad(Cause.SCORES, text)
    return tuple(scores)


def excerpt(text: str, length: int = 200) -> str:
    """``text`` for a message: quoted, control characters escaped, without secrets, shortened."""
    text = redact(text[: length + 4096])  # a key that begins within is hidden whole
    return repr(text if len(text) <= length else f"{text[:length]}...")


def bad_reply(
    name: str,
    cause: Cause,
    quote: str = "",
    *,
    detail: str = "",
    usage: Usage | None = None,
    more: int = 4096,
) -> BadReply:
    """The error of the provider ``name``: cause, quote (shortened) and remedy.

    ``detail``: said in place of the cause's own sentence and the quote. ``more``: see
    ``Cause.advice``.
    """
    what = detail or (f"{cause.sentence}: {excerpt(quote)}" if quote else cause.sentence)
    return BadReply(f"{name}: {what}. {cause.advice(name, more)}", cause=cause, usage=usage)


def _bad(cause: Cause, text: str, detail: str = "") -> BadReply:
    return BadReply(f"{detail or cause.sentence}: {excerpt(text)}", cause=cause)


def _rows_of(
    found: JsonObject | list[Any],
    name: str,
    rows: Sequence[Row],
    channels: Sequence[str],
    text: str,
) -> list[Any]:
    """What the reply says under ``name``, one value a row."""
    values: Any = found
    if isinstance(found, JsonObject):
        found = _unwrapped(found, channels)
        if found.repeated is not None:
            raise _bad(Cause.FORM, text, f"The reply names {found.repeated[:40]!r} twice")
        values = _named(found, name)
        if isinstance(values, JsonObject):
            values = _by_query(values, rows)
    elif len(channels) > 1:
        values = None  # whose list it is cannot be told
    if not isinstance(values, list):
        raise _bad(Cause.FORM, text, f"The reply has no list {name!r}")
    if len(values) != len(rows):
        raise _bad(
            Cause.COUNT,
            text,
            f"The reply has {len(values)} rows in {name!r} where {len(rows)} were asked",
        )
    return values


def _unwrapped(found: JsonObject, channels: Sequence[str]) -> JsonObject:
    """The object inside objects that hold nothing else, as in ``{"scores":{"relevance":...}}``."""
    while len(found) == 1:
        ((name, inner),) = found.items()
        if not isinstance(inner, JsonObject) or name.casefold() in map(str.casefold, channels):
            break
        found = inner
    return found


def _named(found: JsonObject, name: str) -> Any:
    """The value of ``name``, or of its only spelling with other capitals."""
    if name in found:
        return found[name]
    alike = [value for key, value in found.items() if key.casefold() == name.casefold()]
    return alike[0] if len(alike) == 1 else None


def _by_query(values: JsonObject, rows: Sequence[Row]) -> list[Any] | None:
    """Rows that the reply names by their queries, in the order asked."""
    queries = [row.query for row in rows]
    if values.repeated is not None or sorted(values) != sorted(queries):
        return None
    return [values[query] for query in queries]


def _integers(value: object) -> list[int] | None:
    """The integers of one row, or None if any is not an integer from 0 to 9."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], (list, str)):
        value = value[0]  # a row in a list of its own
    if isinstance(value, str):
        if value.isascii() and value.isdigit():
            return list(map(int, value))
        value = value.replace(",", " ").split()  # one digit each, or none of them counts
    elif isinstance(value, (int, float)):
        value = [value]  # a row of one key
    if not isinstance(value, list):
        return None
    numbers = []
    for number in value:
        if isinstance(number, str):
            number = _DIGITS.get(number.strip())
        if isinstance(number, bool) or not isinstance(number, (int, float)):
            return None
        if not 0 <= number <= LARGEST_SCORE or number != int(number):  # NaN fails the first
            return None
        numbers.append(int(number))
    return numbers
