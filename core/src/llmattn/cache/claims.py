"""Claims of processes that use one cache file, in a folder beside it: who is asking for what.

Each asker has a file with the numbers that it claims, and a lock that ends with it, however it
dies. So nothing is flushed, and nothing that is left over has to be believed.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from attrs import define
from numpy.typing import NDArray

from llmattn.cache.protocol import Numbers, Taken
from llmattn.errors import CacheError
from llmattn.locks import folder_lock

__all__ = ["FolderClaims", "this_process"]

_HEAD = 256
"""Bytes before the numbers: who claims them, in words."""
_SILENT = 60.0
"""Seconds after which an asker that is there, but renews nothing (a stopped process), is passed."""


def this_process() -> str:
    """The name under which claims of this process are told to other askers: its number and host."""
    return f"process {os.getpid()} on {socket.gethostname()}"


@define
class _Beat:
    """When an asker was last seen to do something: by our own clock, which nobody sets."""

    stamp: int
    at: float


class FolderClaims:
    """See ``Claims``. Raises CacheError where the folder cannot be used."""

    def __init__(self, folder: Path) -> None:
        from filelock import FileLock  # loads asyncio and sqlite3

        self._folder = folder
        self._path = folder / f"{os.getpid()}-{secrets.token_hex(4)}.claims"
        self._held: dict[int, Numbers] = {}
        self._beats: dict[str, _Beat] = {}
        self._beside = False
        self._dirty = False
        self._file: int | None = None
        with self._translated():
            folder.mkdir(parents=True, mode=0o700, exist_ok=True)
            self._life: Any = FileLock(_life(self._path), thread_local=False)
            with folder_lock(self._folder, alone=True):
                self._life.acquire(timeout=0)
                self._file = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
                self._write()
                self._made = os.stat(folder).st_mtime_ns
                self._beside = len(self._others()) > 0

    @property
    def beside(self) -> bool:
        """See ``Claims.beside``."""
        return self._beside

    def claim(self, wanted: Mapping[int, Numbers]) -> dict[int, Taken]:
        """See ``Claims.claim``."""
        with self._translated(), folder_lock(self._folder, alone=True):
            found = self._taken(wanted)
            for ticket, taken in found.items():
                if not taken.numbers.any():
                    self._held[ticket] = wanted[ticket]
            self._write()
        return found

    def taken(self, numbers: Numbers) -> Taken:
        """See ``Claims.taken``."""
        with self._translated(), folder_lock(self._folder, alone=True):
            return self._taken({0: numbers})[0]

    def release(self, ticket: int, kept: Numbers | None = None) -> None:
        """See ``Claims.release``. Others hear of it with the next claim, or by :meth:`renew`."""
        self._held.pop(ticket, None)
        if kept is not None and len(kept):
            self._held[ticket] = kept
        self._dirty = True

    def renew(self) -> None:
        """See ``Claims.renew``."""
        with self._translated():
            if self._dirty:
                with folder_lock(self._folder, alone=True):
                    self._write()
            else:
                os.utime(self._path)

    def close(self) -> None:
        """See ``Claims.close``."""
        self._held.clear()
        if self._file is None:
            return
        os.close(self._file)
        self._file = None
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
            self._life.release()
            _life(self._path).unlink(missing_ok=True)

    def _taken(self, wanted: Mapping[int, Numbers]) -> dict[int, Taken]:
        """What others claim of each request; the caller has the folder."""
        self._beside = self._beside or os.stat(self._folder).st_mtime_ns != self._made
        nothing = {ticket: np.zeros(len(numbers), bool) for ticket, numbers in wanted.items()}
        holders: dict[int, list[str]] = {ticket: [] for ticket in wanted}
        for path in self._others() if self._beside else ():
            held, who = _read(path)
            masks = {t: _among(numbers, held) for t, numbers in wanted.items()}
            if not any(mask.any() for mask in masks.values()) or self._gone(path):
                continue
            for ticket, mask in masks.items():
                nothing[ticket] |= mask
                holders[ticket] += [who] * bool(mask.any())
        return {ticket: Taken(mask, tuple(holders[ticket])) for ticket, mask in nothing.items()}

    def _others(self) -> list[Path]:
        return [path for path in self._folder.glob("*.claims") if path != self._path]

    def _gone(self, path: Path) -> bool:
        """Whether an asker is dead, which is seen to, or has done nothing for a minute."""
        from filelock import FileLock, Timeout

        try:
            with FileLock(_life(path), timeout=0):
                path.unlink(missing_ok=True)
        except Timeout:
            return self._silent(path)
        _life(path).unlink(missing_ok=True)
        return True

    def _silent(self, path: Path) -> bool:
        now = time.monotonic()
        try:
            stamp = os.stat(path).st_mtime_ns
        except FileNotFoundError:
            return True
        beat = self._beats.setdefault(path.name, _Beat(stamp, now))
        if beat.stamp != stamp:
            beat.stamp, beat.at = stamp, now
        return now - beat.at > _SILENT

    def _write(self) -> None:
        assert self._file is not None
        head = this_process().encode()[:_HEAD].ljust(_HEAD)
        data = head + b"".join(numbers.tobytes() for numbers in self._held.values())
        os.pwrite(self._file, data, 0)
        os.ftruncate(self._file, len(data))
        self._dirty = False

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise CacheError(
                f"What is being asked for cannot be told to others in {self._folder} "
                f"({error.strerror or error})"
            ) from None


def _life(path: Path) -> Path:
    return path.with_suffix(".life")


def _read(path: Path) -> tuple[Numbers, str]:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        data = b""
    numbers = data[_HEAD:]
    whole = len(numbers) - len(numbers) % 8
    who = data[:_HEAD].decode("utf-8", "replace").strip()
    return np.frombuffer(numbers[:whole], np.uint64), who or "another process"


def _among(numbers: Numbers, held: Numbers) -> NDArray[np.bool_]:
    """Which of ``numbers`` are among ``held``."""
    if not len(held) or not len(numbers):
        return np.zeros(len(numbers), bool)
    return np.isin(numbers, held)
