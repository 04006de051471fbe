"""Locks that processes of one machine hold against each other."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

if sys.platform != "win32":
    import fcntl

__all__ = ["OwnedLock", "folder_lock"]


@contextmanager
def folder_lock(folder: Path, *, alone: bool = False) -> Iterator[None]:
    """Hold the lock of ``folder`` with others who share it, or ``alone``; waits for its turn.

    It ends with the process. Windows has no such lock: nothing is held there.
    """
    if sys.platform == "win32":
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
    finally:
        os.close(handle)


class OwnedLock:
    """A lock that tells who has it, and ends with its owner, however that dies.

    The file ``path`` is the lock, and stays; beside it stands who has it, for people. Whoever
    holds it may take it again.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock: Any = None
        self._owner = path.with_name(f"{path.name}.owner")

    def acquire(self, when_taken: Callable[[str], None]) -> None:
        """Take the lock. Where another has it ``when_taken`` is called with who, and may raise;
        else this waits until the lock is free. Raises OSError where the file cannot be made.
        """
        from filelock import FileLock, Timeout  # loads asyncio and sqlite3

        self._lock = self._lock or FileLock(self._path)
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            when_taken(self._read_owner())
            self._lock.acquire()
        try:
            self._write_owner()
        except BaseException:
            self._lock.release()
            raise

    def release(self) -> None:
        """Give it back, once for each time that it was taken."""
        self._lock.release()

    def _read_owner(self) -> str:
        try:
            return self._owner.read_text(encoding="utf-8")[:200] or "another process"
        except (OSError, ValueError):
            return "another process"

    def _write_owner(self) -> None:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        text = f"process {os.getpid()} on {socket.gethostname()}, since {since}"
        self._owner.write_text(text, encoding="utf-8")
