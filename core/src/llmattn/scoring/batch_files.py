"""Batches under way, as files that any later process can read."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import evolve, frozen

from llmattn.errors import CacheDamaged, CacheError
from llmattn.locks import OwnedLock
from llmattn.notices import notify
from llmattn.rows import Row
from llmattn.unfinished import is_left_over, unfinished_in
from llmattn.untrusted import WRONG_DATA, read_json
from llmattn.writing import Kind, written

__all__ = ["BatchFolder", "Pending"]

Requests = Sequence[Sequence[Row]]
_BATCH = Kind("a note of a batch", None, CacheError, in_folder=True)
_MOST_BYTES = 1 << 30
"""Of one batch: all the words that it asks about."""


@frozen
class Pending:
    """A batch, as remembered on disk from just before it is handed over until it is collected."""

    mark: str
    """A word of ours, by which the server's batch is found again; it names the file, too: what
    the server says never becomes part of a path.
    """
    requests: tuple[tuple[Row, ...], ...]
    submitted: float
    """Seconds since the epoch."""
    batch_id: str = ""
    """The server's; empty until the server has answered the hand-over."""
    lost: bool = False
    """The server said that it has no such batch: its pairs are free."""
    keeping: int | None = None
    """Requests that the cache had counted before this batch was kept: there if a process died
    while it did so.
    """

    @property
    def under_way(self) -> bool:
        """Whether it was handed over and is still to be collected."""
        return bool(self.batch_id) and not self.lost

    @property
    def pairs(self) -> int:
        """Pairs that it holds."""
        return sum(len(row.keys) for request in self.requests for row in request)


class BatchFolder:
    """The batches of one namespace, a file each. Every method raises CacheError where the folder
    or a file is unusable.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = OwnedLock(folder / "lock")

    def all(self) -> list[Pending]:
        """Whatever is remembered, oldest first."""
        found = [_read(path) for path in self._paths()]
        return sorted((p for p in found if p), key=lambda pending: pending.submitted)

    def stamp(self) -> frozenset[tuple[str, int, int]]:
        """Differs once anything in the folder does; empty if nothing is remembered."""
        found = set()
        for path in self._paths():
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            found.add((path.name, stat.st_mtime_ns, stat.st_size))
        return frozenset(found)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """One process hands over or collects at a time: another waits here, and says for whom."""
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock.acquire(_wait)
        except OSError as error:
            raise self._unwritable(error) from None
        try:
            for leftover in unfinished_in(self._folder):
                is_left_over(leftover, remove=True)
            yield
        finally:
            self._lock.release()

    def path(self, pending: Pending) -> Path:
        """The file that remembers it."""
        return self._folder / f"{pending.mark}.json"

    def find(self, pending: Pending) -> Pending | None:
        """The same as it is now; None if it is not remembered any more."""
        return _read(self.path(pending))

    def begin(self, requests: Requests) -> Pending:
        """Note, before money is owed, that ``requests`` are being handed over."""
        taken = tuple(map(tuple, requests))
        return self.keep(Pending(secrets.token_hex(16), taken, time.time()))

    def keep(self, pending: Pending) -> Pending:
        """Remember it as it is now; the file is whole or not there."""
        data = {
            "mark": pending.mark,
            "batch_id": pending.batch_id,
            "submitted": pending.submitted,
            "lost": pending.lost,
            "keeping": pending.keeping,
            "requests": [
                [[row.query, row.keys, row.context] for row in request]
                for request in pending.requests
            ],
        }
        with written(self.path(pending), _BATCH, "--cache-dir") as file:
            file.write(json.dumps(data).encode())
        return pending

    def change(self, pending: Pending, **changes: Any) -> Pending:
        """Remember what has become of it."""
        return self.keep(evolve(pending, **changes))

    def forget(self, pending: Pending) -> None:
        """Nothing is to be done about it any more."""
        try:
            self.path(pending).unlink(missing_ok=True)
        except OSError as error:
            raise self._unwritable(error) from None

    def _paths(self) -> list[Path]:
        return list(self._folder.glob("*.json"))

    def _unwritable(self, error: OSError) -> CacheError:
        return CacheError(
            f"The batch cannot be remembered in {self._folder} ({error.strerror}): make it "
            "writable, or name another folder with --cache-dir."
        )


def _wait(owner: str) -> None:
    notify(f"The batches are in the hands of {owner}: waiting until it is done.")


def _row(query: Any, keys: Any, context: Any) -> Row:
    """Raises ValueError unless these are words."""
    if not all(isinstance(word, str) for word in (query, *keys, *context)):
        raise ValueError("a word is no string")
    return Row(query, tuple(keys), tuple(context))


def _read(path: Path) -> Pending | None:
    """What a file says; None if it is gone: another process has just collected the batch."""
    try:
        data = read_json(path, most=_MOST_BYTES)
        if data["mark"] != path.stem:
            raise ValueError("it tells of another batch than its name does")
        return Pending(
            mark=path.stem,
            requests=tuple(tuple(_row(*row) for row in request) for request in data["requests"]),
            submitted=float(data["submitted"]),
            batch_id=str(data["batch_id"]),
            lost=bool(data["lost"]),
            keeping=None if data["keeping"] is None else int(data["keeping"]),
        )
    except FileNotFoundError:
        return None
    except (OSError, *WRONG_DATA) as error:
        raise CacheDamaged(
            f"{path} does not describe a batch ({error}); move it away to go on."
        ) from None
