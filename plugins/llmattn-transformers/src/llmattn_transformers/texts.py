"""Rows as texts: which of a request's rows are beginnings of one and the same text."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define
from llmattn.plugin import Row

__all__ = ["Text", "texts_of"]


@define
class Text:
    """A text of L pieces. ``rows``: places in the request of the rows that are its beginnings."""

    pieces: tuple[str, ...]
    rows: list[int]
    first: int
    """The first piece, counted from 0, that is the query of one of the rows."""


def texts_of(rows: Sequence[Row]) -> list[Text]:
    """The longest texts among ``rows`` (of PREFIX scope); each row belongs to one of them.

    In the order of words a text follows right upon its own beginnings, so one pass from the
    end finds them.
    """
    texts: list[Text] = []
    for place in sorted(range(len(rows)), key=lambda i: rows[i].keys, reverse=True):
        keys = rows[place].keys
        if texts and texts[-1].pieces[: len(keys)] == keys:
            texts[-1].rows.append(place)
            texts[-1].first = len(keys) - 1
        else:
            texts.append(Text(keys, [place], len(keys) - 1))
    return texts
