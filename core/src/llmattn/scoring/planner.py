"""Packs rows into as few requests as the provider's limits allow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from llmattn.providers.protocol import Limits
from llmattn.rows import Row, Scope

__all__ = ["merge_rows", "pack"]


def merge_rows(rows: Iterable[Row]) -> list[Row]:
    """Each query (or text) once: the keys of equal queries without context are united.

    Order is that of first appearance, for rows and for keys.
    """
    keys: dict[tuple[str, tuple[str, ...]], dict[str, None] | None] = {}
    for row in rows:
        if row.context:
            keys[row.query, row.context] = None
        else:
            found = keys.setdefault((row.query, ()), {})
            if found is not None:
                found.update(dict.fromkeys(row.keys))
    return [
        Row(query, (*context, query), context) if found is None else Row(query, tuple(found))
        for (query, context), found in keys.items()
    ]


def pack(rows: Sequence[Row], limits: Limits, scope: Scope) -> list[tuple[Row, ...]]:
    """Requests that together hold every (row, key) of ``rows`` exactly once.

    Rows are taken in order, so what comes first is asked first, or nearly so. PAIR rows longer than
    ``limits.keys_per_row`` are cut into parts of nearly equal length. Rows with context are
    never cut (one longer than ``limits.pairs_per_request`` goes alone). They share a request
    only if none is the beginning of another: the longer text would show the shorter row its
    future. With ``limits.nested_rows`` that does no harm, and the rows of a text stay together,
    in order.
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
    """Rows of one length in each request: of two different ones none is the other's beginning."""
    done: list[tuple[Row, ...]] = []
    unfinished: dict[int, list[Row]] = {}
    for row in rows:
        length = len(row.keys)
        most = max(1, min(limits.rows_per_request, limits.pairs_per_request // length))
        request = unfinished.setdefault(length, [])
        request.append(row)
        if len(request) == most:
            done.append(tuple(unfinished.pop(length)))
    done.extend(tuple(request) for request in unfinished.values())
    return done


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
