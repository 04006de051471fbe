"""Packs rows into as few requests as the provider's limits allow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from attrs import define, evolve, field

from llmattn.providers.protocol import Limits
from llmattn.rows import Row, Scope

__all__ = ["APART", "is_full", "merge_rows", "pack"]

APART = 128
"""So many tokens of the text after a row are in no other text of its request, at the least."""
_ZONE = 16
"""Tokens; the finer, the closer rows come to being ``APART`` apart and no more."""


def merge_rows(rows: Iterable[Row]) -> list[Row]:
    """Each query (or text) once: the keys of equal queries without context are united, and so
    are the places where a text stands.

    Order is that of first appearance, for rows and for keys.
    """
    keys: dict[str, dict[str, None]] = {}
    spans: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    first: dict[tuple[str, tuple[str, ...]], Row] = {}
    for row in rows:
        first.setdefault((row.query, row.context), row)
        if row.context:
            spans.setdefault(row.keys, []).extend(row.spans)
        else:
            keys.setdefault(row.query, {}).update(dict.fromkeys(row.keys))
    return [
        _with_spans(row, spans[row.keys]) if row.context else Row(row.query, tuple(keys[row.query]))
        for row in first.values()
    ]


def _with_spans(row: Row, spans: Sequence[tuple[int, int]]) -> Row:
    return row if len(spans) == len(row.spans) else evolve(row, spans=tuple(dict.fromkeys(spans)))


def pack(rows: Sequence[Row], limits: Limits, scope: Scope) -> list[tuple[Row, ...]]:
    """Requests that together hold every (row, key) of ``rows`` exactly once.

    Rows are taken in order, so what comes first is asked first, or nearly so. PAIR rows longer than
    ``limits.keys_per_row`` are cut into parts of nearly equal length. Rows with context are
    never cut (one longer than ``limits.pairs_per_request`` goes alone). They share a request
    only if none is the beginning of another, and if their places (``Row.spans``), where they
    tell them, are more than ``APART`` tokens apart: otherwise one would show the other what
    comes next. With ``limits.nested_rows`` that does no harm, and the rows of a text stay
    together, in order.
    """
    if scope is Scope.PREFIX:
        return _pack_nested(rows, limits) if limits.nested_rows else _pack_texts(rows, limits)
    requests: list[tuple[Row, ...]] = []
    current: list[Row] = []
    pairs = 0
    for row in _cut(rows, min(limits.keys_per_row, limits.pairs_per_request)):
        full = pairs + len(row.keys) > limits.pairs_per_request
        if current and (full or len(current) >= limits.rows_per_request):
            requests.append(tuple(current))
            current, pairs = [], 0
        current.append(row)
        pairs += len(row.keys)
    if current:
        requests.append(tuple(current))
    return requests


def is_full(request: Sequence[Row], limits: Limits) -> bool:
    """Whether one more row like those of ``request`` would be too much for it."""
    pairs, longest = sum(len(row.keys) for row in request), max(len(row.keys) for row in request)
    return len(request) >= limits.rows_per_request or pairs + longest > limits.pairs_per_request


def _cut(rows: Iterable[Row], most: int) -> Iterator[Row]:
    for row in rows:
        n = len(row.keys)
        if n <= most:
            yield row
            continue
        parts = -(-n // most)
        for part in range(parts):
            yield Row(row.query, row.keys[part * n // parts : (part + 1) * n // parts])


def _pack_texts(rows: Iterable[Row], limits: Limits) -> list[tuple[Row, ...]]:
    """Rows of one length in each request: of two different ones none is the other's beginning.

    A row goes to the first request with room that shows no text near to one of its places.
    """
    done: list[_Request] = []
    unfinished: dict[int, list[_Request]] = {}
    for number, row in enumerate(rows):
        length = len(row.keys)
        most = max(1, min(limits.rows_per_request, limits.pairs_per_request // length))
        zones = _zones(row)
        waiting = unfinished.setdefault(length, [])
        for request in waiting:
            if request.zones.isdisjoint(zones):
                break
        else:
            request = _Request(number)
            waiting.append(request)
        request.rows.append(row)
        request.zones |= zones
        if len(request.rows) == most:
            waiting.remove(request)
            done.append(request)
    done.extend(chain.from_iterable(unfinished.values()))
    done.sort(key=lambda request: request.number)
    return [tuple(request.rows) for request in done]


@define(eq=False)
class _Request:
    """A request that is being put together."""

    number: int
    """Of its first row."""
    rows: list[Row] = field(factory=list)
    zones: set[int] = field(factory=set)


def _zones(row: Row) -> set[int]:
    """The stretches of ``_ZONE`` tokens that hold a row's text or what follows within ``APART``.

    Two rows without a common one are more than ``APART`` apart, whichever comes first.
    """
    zones: set[int] = set()
    for first, last in row.spans:
        zones.update(range(first // _ZONE, (last + APART) // _ZONE + 1))
    return zones


def _pack_nested(rows: Iterable[Row], limits: Limits) -> list[tuple[Row, ...]]:
    """Whole texts in each request; one that no request can hold goes in parts."""
    requests: list[tuple[Row, ...]] = []
    current: list[Row] = []
    pairs = 0
    for text in _texts(rows):
        size = sum(len(row.keys) for row in text)
        rows_left = limits.rows_per_request - len(current)
        if len(text) > rows_left or pairs + size > limits.pairs_per_request:
            if current:
                requests.append(tuple(current))
            current, pairs = [], 0
        for row in text:
            full = pairs + len(row.keys) > limits.pairs_per_request
            if current and (full or len(current) >= limits.rows_per_request):
                requests.append(tuple(current))
                current, pairs = [], 0
            current.append(row)
            pairs += len(row.keys)
    if current:
        requests.append(tuple(current))
    return requests


def _texts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Runs of rows in which each is the beginning of the next."""
    text: list[Row] = []
    for row in rows:
        if text and row.keys[: len(text[-1].keys)] != text[-1].keys:
            yield text
            text = []
        text.append(row)
    if text:
        yield text
