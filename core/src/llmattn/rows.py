"""The unit of asking and of storing: one query with the keys it may attend to."""

from __future__ import annotations

import enum
from collections.abc import Sequence

import numpy as np
from attrs import field, frozen
from numpy.typing import NDArray

__all__ = ["Row", "Scope", "Scores", "pair_rows", "prefix_rows"]

Scores = NDArray[np.float32]
"""Scores of one row, shape ``(C, len(row.keys))``, each in [0, 1]; NaN means unknown."""


class Scope(str, enum.Enum):
    """What a score may depend on. No scope sees what comes after the query."""

    PAIR = "pair"
    """The query and the key alone."""
    PREFIX = "prefix"
    """Also every token before the query."""


def _strings(values: Sequence[str]) -> tuple[str, ...]:
    return tuple(values)


@frozen
class Row:
    """How strongly should ``query`` attend to each of ``keys``?

    ``context`` holds the tokens before the query, oldest first; it is empty for PAIR scope.
    With a context the keys are the positions of the text so far, one key a token:
    ``keys == (*context, query)``, so a word that occurs twice has two scores.

    ``spans``, of a row with context that was cut from a longer text: the numbers in it of the
    first and the last token of ``keys``, once for each place where they stand. They say which
    rows must not be shown together, and nothing about the scores: rows that differ in them alone
    are equal.
    """

    query: str
    keys: tuple[str, ...] = field(converter=_strings)
    context: tuple[str, ...] = field(default=(), converter=_strings)
    spans: tuple[tuple[int, int], ...] = field(default=(), eq=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if not self.query:
            raise ValueError("a row needs a query that is not empty")
        if not self.keys:
            raise ValueError(f"the row of {self.query!r} has no keys")
        if self.context and self.keys != (*self.context, self.query):
            raise ValueError(
                f"the row of {self.query!r}: with a context, keys are (*context, query)"
            )


def pair_rows(tokens: Sequence[str]) -> list[Row]:
    """The PAIR rows that a text of T tokens needs: each distinct query once, its keys sorted.

    Position i attends to itself and to everything before it.
    """
    keys: dict[str, set[str]] = {}
    seen: set[str] = set()
    for token in tokens:
        seen.add(token)
        keys.setdefault(token, set()).update(seen)
    return [Row(query, tuple(sorted(found))) for query, found in keys.items()]


def prefix_rows(tokens: Sequence[str]) -> list[Row]:
    """The T PREFIX rows of a text of T tokens; row i has i + 1 keys."""
    words = tuple(tokens)
    return [Row(word, words[: i + 1], words[:i]) for i, word in enumerate(words)]
