"""Batches under way, as files that any later process can read."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from attrs import frozen

from llmattn.cache.open import locate_cache
from llmattn.cache.protocol import FileCache, ScoreCache
from llmattn.errors import CacheError
from llmattn.locks import folder_lock
from llmattn.rows import Row
from llmattn.scoring.find_provider import settings_of
from llmattn.scoring.options import ScoreChoice
from llmattn.untrusted import WRONG_DATA, read_json

__all__ = ["BatchFolder", "Pending", "batch_folder"]

Requests = Sequence[Sequence[Row]]
_MOST_BYTES = 1 << 30
"""Of one batch: all the words that it asks about."""
_LONGEST_NAME = 200
_INTENT = "submitting.json"
"""Stands in the folder while a batch is being handed over."""


@frozen
class Pending:
    """A batch that was handed over, as remembered on disk."""

    batch_id: str
    requests: tuple[tuple[Row, ...], ...]
    submitted: float
    """Seconds since the epoch."""


class BatchFolder:
    """One file a batch. Every method raises CacheError where the folder or a file is unusable."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def pending(self) -> list[Pending]:
        """Batches handed over and not yet collected, oldest first."""
        found = [_read(path) for path in self._folder.glob("*.json") if path.name != _INTENT]
        return sorted(found, key=lambda pending: pending.submitted)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hand over one after the other: another process waits here until this one is done.

        Raises CacheError if a process died while it was handing over.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise self._unwritable(error) from None
        with folder_lock(self._folder, alone=True):
            intent = self._folder / _INTENT
            if intent.exists():
                raise CacheError(
                    "An earlier batch may have been handed over just before its process died: "
                    f"look for it in the provider's console, then remove {intent}."
                )
            yield

    def begin(self, requests: Requests) -> None:
        """Note, before money is owed, that ``requests`` are being handed over: a crash in
        between is told, not lost.
        """
        self._write(_INTENT, "", requests)

    def give_up(self) -> None:
        """Nothing was handed over after :meth:`begin`."""
        (self._folder / _INTENT).unlink()

    def add(self, batch_id: str, requests: Requests) -> Pending:
        """Remember a batch that was handed over after :meth:`begin`."""
        submitted = self._write(_name(batch_id), batch_id, requests)
        self.give_up()
        return Pending(batch_id, tuple(map(tuple, requests)), submitted)

    def forget(self, pending: Pending) -> None:
        """The batch was collected."""
        (self._folder / _name(pending.batch_id)).unlink()

    def _write(self, name: str, batch_id: str, requests: Requests) -> float:
        """Write JSON so that the file is whole or not there; gives the time written."""
        now = time.time()
        plain = [[[row.query, row.keys, row.context] for row in request] for request in requests]
        path = self._folder / name
        temporary = path.with_suffix(".tmp")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                json.dump({"batch_id": batch_id, "submitted": now, "requests": plain}, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as error:
            raise self._unwritable(error) from None
        return now

    def _unwritable(self, error: OSError) -> CacheError:
        return CacheError(
            f"The batch cannot be remembered in {self._folder} ({error.strerror}): make it "
            "writable, or name another folder with --cache-dir."
        )


def _row(query: Any, keys: Any, context: Any) -> Row:
    """Raises ValueError unless these are words."""
    if not all(isinstance(word, str) for word in (query, *keys, *context)):
        raise ValueError("a word is no string")
    return Row(query, tuple(keys), tuple(context))


def _name(batch_id: str) -> str:
    """The name of a batch's file. The server chose the id, and must not choose a place by it."""
    plain = quote(batch_id, safe="")
    if len(plain) > _LONGEST_NAME or f"{plain}.json" == _INTENT:
        plain = hashlib.sha256(batch_id.encode()).hexdigest()
    return f"{plain}.json"


def _read(path: Path) -> Pending:
    try:
        data = read_json(path, most=_MOST_BYTES)
        if _name(str(data["batch_id"])) != path.name:
            raise ValueError("it names another batch than the file's name does")
        requests = tuple(tuple(_row(*row) for row in request) for request in data["requests"])
        return Pending(str(data["batch_id"]), requests, float(data["submitted"]))
    except (OSError, *WRONG_DATA) as error:
        raise CacheError(
            f"{path} does not describe a batch ({error}); move it away to go on."
        ) from None


def batch_folder(cache: ScoreCache, choice: ScoreChoice) -> Path:
    """Where batches are remembered: beside the cache's file, or where the default one has its."""
    if isinstance(cache, FileCache):
        return cache.path.parent
    given = settings_of("lmdb", choice.settings)
    return locate_cache(cache_dir=choice.cache_dir, options=given).parent
