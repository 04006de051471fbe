"""Maps: matrices of what attends to what in one text, and what stands out in them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from llmattn.printable import printable

__all__ = ["Floats", "Maps", "Sheet", "lines_of", "strongest_pairs", "token_label"]

Floats = NDArray[np.float32]

_LINE_SHARE = 0.1
_LINE_TIMES = 4.0
"""A line holds this share of the later rows, on average, and so often an even share of them."""


@frozen(eq=False)
class Maps:
    """Matrices ``(N, T, T)`` of one source: query i, key j <= i; NaN where unknown.

    ``source``: a provider, or the model of a file. ``what``: "score" or "weight"; the weights of
    a row sum to 1.
    """

    source: str
    what: str
    names: tuple[str, ...]
    values: Floats


@frozen(eq=False)
class Sheet:
    """A text of T tokens, as written, and what each source sees in it; N maps a source."""

    tokens: list[str]
    sources: list[Maps]


def lines_of(matrix: Floats) -> list[int]:
    """Keys that most later queries look at: vertical lines, where attention rests for want of
    anything better. The strongest first; none in a matrix that has no such key.
    """
    size = len(matrix)
    known = np.tril(np.nan_to_num(matrix), -1).astype(np.float64)
    places = np.arange(size)
    # A key of whom few later rows know is no line yet.
    later = size - 1 - places
    total = known.sum(1, keepdims=True)
    shares = np.divide(known, total, out=np.zeros_like(known), where=total > 0)
    even = np.divide(1.0, places, out=np.zeros(size), where=places > 0)
    even_after = np.cumsum(even[::-1])[::-1] - even
    mean = shares.sum(0) / np.maximum(later, 1)
    times = shares.sum(0) / np.maximum(even_after, 1e-9)
    many = later >= max(4, size // 4)
    found = np.flatnonzero(many & (mean >= _LINE_SHARE) & (times >= _line_times(size)))
    return [int(key) for key in found[np.argsort(-mean[found], kind="stable")]]


def _line_times(size: int) -> float:
    """In a short text an even share is large, and four times of it more than all."""
    return _LINE_TIMES if size > 40 else 2.0


def strongest_pairs(
    matrix: Floats, labels: Sequence[str], most: int, lines: Sequence[int] = ()
) -> list[tuple[int, int]]:
    """Up to ``most`` pairs (query, key) of two tokens, the strongest first, without the keys
    ``lines``; each key once, and each pair of ``labels`` once.

    From the third token on: before, there is little to choose from.
    """
    queries, keys = np.tril_indices(len(labels), -1)
    fit = (queries > 1) & ~np.isin(keys, list(lines))
    queries, keys = queries[fit], keys[fit]
    values = np.nan_to_num(matrix[queries, keys])
    found: list[tuple[int, int]] = []
    seen: set[object] = set()
    for n in np.argsort(-values, kind="stable"):
        query, key = int(queries[n]), int(keys[n])
        words = (labels[query], labels[key])
        if values[n] <= 0 or len(found) == most:
            break
        if key not in seen and words not in seen:
            seen |= {key, words}
            found.append((query, key))
    return found


def token_label(token: str) -> str:
    """A token as a label can show it: line ends as a sign, without spaces around."""
    shown = printable(token.replace("<eol>", "⏎").replace("\n", "⏎").strip(), keep="") or "␣"
    return shown if len(shown) <= 16 else shown[:15] + "…"
