"""Scores as files to exchange: Parquet and JSON Lines, the identity included, bit-exact."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from llmattn.cache.exchange.portions import (
    HEAD,
    Portion,
    check_head,
    describe_portion,
    make_row,
    read_description,
)
from llmattn.errors import CacheError
from llmattn.rows import Row, Scores
from llmattn.untrusted import WRONG_DATA, from_json, lines_of
from llmattn.whole_files import replacing

__all__ = ["read", "write"]


def write(path: Path, portions: Iterable[Portion]) -> tuple[int, int]:
    """Write ``portions`` to ``path``, whole or not at all; returns rows and pairs.

    The name's end chooses the form: ``.parquet`` (needs pyarrow) or ``.jsonl``.
    """
    writer = _form(path)[0]
    try:
        with replacing(path) as new:
            counts = writer(new, portions)
    except UnicodeEncodeError as error:
        raise CacheError(
            f"{path.suffix} files hold UTF-8, and a word is not ({error}): export to a name that "
            "ends in .jsonl."
        ) from None
    except OSError as error:
        raise CacheError(f"{path} cannot be written ({error.strerror or error}).") from None
    return counts


def read(path: Path) -> Iterator[Portion]:
    """What ``path`` holds. Nothing in it is run, and what does not fit is a CacheError."""
    reader = _form(path)[1]
    if not path.is_file():
        raise CacheError(f"There is no file {path} to import.")
    try:
        yield from reader(path)
    except OSError as error:
        raise CacheError(f"{path} cannot be read ({error.strerror or error}).") from None


def _form(path: Path) -> tuple[Callable[..., tuple[int, int]], Callable[..., Iterator[Portion]]]:
    if path.suffix == ".parquet":
        try:
            from llmattn.cache.exchange import parquet
        except ImportError:
            raise CacheError(
                "Parquet needs pyarrow: pip install 'llmattn-core[parquet]', or name a file "
                "that ends in .jsonl."
            ) from None
        return parquet.write, parquet.read
    if path.suffix == ".jsonl":
        return _write_lines, _read_lines
    raise CacheError(f"{path}: the name of a score file ends in .parquet or .jsonl.")


def _write_lines(path: Path, portions: Iterable[Portion]) -> tuple[int, int]:
    rows = pairs = 0
    with open(path, "w", encoding="ascii") as file:
        file.write(json.dumps(HEAD) + "\n")
        for portion in portions:
            file.write(json.dumps(describe_portion(portion)) + "\n")
            for row, scores in portion.rows:
                line: dict[str, Any] = {"query": row.query, "keys": row.keys}
                if row.context:
                    line["context"] = row.context
                line["scores"] = [
                    [None if math.isnan(v) else v for v in channel] for channel in scores.tolist()
                ]
                file.write(json.dumps(line) + "\n")
                rows += 1
                pairs += len(row.keys)
    return rows, pairs


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

    def wrong(self, why: object) -> CacheError:
        return CacheError(f"{self._path}, line {self.number}: {why}.")


def _read_lines(path: Path) -> Iterator[Portion]:
    with open(path, encoding="utf-8") as file:
        lines = _Lines(path, lines_of(file))
        try:
            check_head(lines.next)
        except ValueError as error:
            raise lines.wrong(error) from None
        lines.advance()
        while lines.next is not None:
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
