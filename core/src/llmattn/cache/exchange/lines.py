"""Scores as JSON Lines: a head, then each namespace and its rows, then counts and a digest."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np

from llmattn.cache.exchange.portions import (
    HEAD,
    Portion,
    check_head,
    describe_portion,
    make_row,
    read_description,
)
from llmattn.digests import EMPTY, has_digest, with_digest
from llmattn.errors import CacheDamaged
from llmattn.rows import Row, Scores
from llmattn.untrusted import WRONG_DATA, from_json, lines_of

__all__ = ["read", "write"]

_END = "end"
_TAIL = 1024
"""Bytes in which the last line stands."""


def write(file: IO[bytes], portions: Iterable[Portion]) -> tuple[int, int]:
    """Write ``portions``, in one go, as into a pipe; returns rows and pairs."""
    namespaces = rows = pairs = 0
    digest = hashlib.sha256()

    def put(data: Mapping[str, Any]) -> None:
        line = _line(data)
        digest.update(line)
        file.write(line)

    put(HEAD)
    for portion in portions:
        put(describe_portion(portion))
        for row, scores in portion.rows:
            line: dict[str, Any] = {"query": row.query, "keys": row.keys}
            if row.context:
                line["context"] = row.context
            line["scores"] = [
                [None if math.isnan(v) else v for v in channel] for channel in scores.tolist()
            ]
            put(line)
            rows += 1
            pairs += len(row.keys)
        namespaces += 1
    counts = {"namespaces": namespaces, "rows": rows, "pairs": pairs}
    file.write(with_digest(digest, _line({_END: counts, **EMPTY})))
    return rows, pairs


def _line(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data).encode("ascii") + b"\n"


class _Lines:
    """The lines of a file as JSON, one line to look ahead; errors name the line."""

    def __init__(self, path: Path, lines: Iterator[str]) -> None:
        self._path = path
        self._lines = enumerate(lines, start=1)
        self.number = 0
        self.next: dict[str, Any] | None = None
        self.advance()

    def advance(self) -> None:
        try:
            self.number, text = next(self._lines, (self.number, ""))
            self.next = from_json(text) if text else None
        except (OSError, ValueError) as error:
            raise self.wrong(error) from None
        if self.next is not None and not isinstance(self.next, dict):
            raise self.wrong("it is not a JSON object")

    def wrong(self, why: object) -> CacheDamaged:
        return CacheDamaged(f"{self._path}, line {self.number}: {why}.")


def read(path: Path) -> Iterator[Portion]:
    """What ``path`` holds; raises CacheDamaged if it is no score file, or damaged."""
    try:
        digested = has_digest(path, _TAIL)
    except ValueError as error:
        raise CacheDamaged(f"{path} cannot be imported: {error}. Export it again.") from None
    with open(path, encoding="utf-8") as file:
        lines = _Lines(path, lines_of(file))
        try:
            check_head(path, lines.next, digested=digested)
        except ValueError as error:
            raise lines.wrong(error) from None
        lines.advance()
        while lines.next is not None and not (digested and _END in lines.next):
            try:
                identity, usage = read_description(lines.next)
            except WRONG_DATA as error:
                raise lines.wrong(f"no namespace can be read here ({error})") from None
            lines.advance()
            yield Portion(identity, usage, _read_rows(lines))


def _read_rows(lines: _Lines) -> Iterator[tuple[Row, Scores]]:
    while lines.next is not None and "query" in lines.next:
        data = lines.next
        try:
            # Doubles, so that a number too large for a float is told as what it is.
            scores = np.array(_numbers(data["scores"]), np.float64)
            yield make_row(data["query"], data["keys"], data.get("context", []), scores)
        except WRONG_DATA as error:
            raise lines.wrong(error) from None
        lines.advance()


def _numbers(channels: Any) -> list[list[float | None]]:
    """``channels`` if it holds numbers and nulls alone; numpy would read texts as well."""
    for channel in channels:
        for value in channel:
            if value is not None and type(value) not in (int, float):
                raise ValueError(f"a score is {value!r}, not a number")
    checked: list[list[float | None]] = channels
    return checked
