"""Scores as files to exchange: Parquet and JSON Lines, the identity included, bit-exact."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from llmattn.cache.exchange import lines
from llmattn.cache.exchange.portions import HEAD, Portion
from llmattn.errors import CacheError
from llmattn.writing import STDOUT, Kind, written

__all__ = ["read", "write"]

_MARK = json.dumps(HEAD)[1:-1].encode()
"""How the head begins in every form."""
_LINES = Kind(
    "a file of scores", lambda head, _: head.startswith(b"{" + _MARK), CacheError, streams=True
)
_PARQUET = Kind(
    "a file of scores",
    lambda head, tail: head.startswith(b"PAR1") and b"{" + _MARK in tail,
    CacheError,
)


def write(path: Path, portions: Iterable[Portion]) -> tuple[int, int]:
    """Write ``portions`` to ``path``, whole or not at all; returns rows and pairs.

    The name's end chooses the form: ``.parquet`` (needs pyarrow) or ``.jsonl``, of which ``-`` is
    standard output. Raises CacheError, also for a file that is there and is none of these.
    """
    writer = _form(path)[0]
    kind = _PARQUET if path.suffix == ".parquet" else _LINES
    try:
        with written(path, kind) as file:
            return writer(file, portions)
    except UnicodeEncodeError as error:
        raise CacheError(
            f"{path.suffix} files hold UTF-8, and a word is not ({error}): export to a name that "
            "ends in .jsonl."
        ) from None


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
    if path.suffix == ".jsonl" or path == STDOUT:
        return lines.write, lines.read
    raise CacheError(f"{path}: the name of a score file ends in .parquet or .jsonl.")
