"""Scores as files to exchange: Parquet and JSON Lines, the identity included, bit-exact."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from llmattn.cache.exchange import lines
from llmattn.cache.exchange.portions import Portion
from llmattn.errors import CacheError

__all__ = ["read", "write"]


def write(path: Path, portions: Iterable[Portion]) -> tuple[int, int]:
    """Write ``portions`` to ``path``, whole or not at all; returns rows and pairs.

    The name's end chooses the form: ``.parquet`` (needs pyarrow) or ``.jsonl``.
    """
    writer = _form(path)[0]
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        counts = writer(fresh, portions)
        os.replace(fresh, path)
    except UnicodeEncodeError as error:
        raise CacheError(
            f"{path.suffix} files hold UTF-8, and a word is not ({error}): export to a name that "
            "ends in .jsonl."
        ) from None
    except OSError as error:
        raise CacheError(f"{path} cannot be written ({error.strerror or error}).") from None
    finally:
        with suppress(OSError):  # where its folder is none, it is not there either
            fresh.unlink(missing_ok=True)
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
        return lines.write, lines.read
    raise CacheError(f"{path}: the name of a score file ends in .parquet or .jsonl.")
