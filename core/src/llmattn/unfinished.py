"""Unfinished and temporary files: their process holds them while it lives, and the next one clears
them away.
"""

from __future__ import annotations

import atexit
import os
import re
import secrets
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import IO

if sys.platform != "win32":
    import fcntl

__all__ = ["is_left_over", "process_folder", "scratch_folder", "unfinished", "unfinished_in"]

_LONGEST = 200
"""Bytes of a name that stand in that of its unfinished file."""
_SCRATCH = ".llmattn-scratch-"
"""How temporary folders begin; no folder of a user's own does."""
_NAME = re.compile(r"\..+\.[0-9A-Za-z_]+\.tmp")


@contextmanager
def unfinished(target: Path) -> Iterator[IO[bytes]]:
    """A new file beside ``target``, gone at the end unless it was renamed.

    What killed processes have left of files of this name is removed. Raises OSError.
    """
    prefix = "." + os.fsdecode(os.fsencode(target.name)[:_LONGEST]) + "."
    for other in unfinished_in(target.parent):
        if other.name.startswith(prefix) and "." not in other.name[len(prefix) : -len(".tmp")]:
            is_left_over(other, remove=True)
    mode = 0o600 if target.exists() else 0o666  # what is replaced says who may read it

    def opener(name: str, flags: int) -> int:
        return os.open(name, flags | os.O_EXCL, mode)

    while True:
        path = target.with_name(f"{prefix}{secrets.token_hex(4)}.tmp")
        file = open(path, "w+b", opener=opener)  # noqa: SIM115  (closed below)
        if _hold(file.fileno()):
            break
        file.close()  # taken for a leftover in the moment before it was held
    try:
        with file:
            yield file
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A folder for temporary files, gone at the end; what killed processes have left of theirs is
    removed. Raises OSError.
    """
    for other in Path(tempfile.gettempdir()).glob(f"{_SCRATCH}*"):
        if sys.platform != "win32" and is_left_over(other):
            shutil.rmtree(other, ignore_errors=True)
    while True:
        folder = Path(tempfile.mkdtemp(prefix=_SCRATCH))
        handle = None if sys.platform == "win32" else os.open(folder, os.O_RDONLY)
        if handle is None or (_hold(handle) and folder.exists()):
            break
        os.close(handle)  # taken for a leftover in the moment before it was held
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        if handle is not None:
            os.close(handle)


def unfinished_in(folder: Path) -> list[Path]:
    """The unfinished files of a folder, also those that a process holds."""
    try:
        with os.scandir(folder) as entries:
            return [folder / each.name for each in entries if _NAME.fullmatch(each.name)]
    except OSError:
        return []


@cache
def process_folder() -> Path:
    """The scratch folder of this process, gone when it ends."""
    until_exit = ExitStack()
    atexit.register(until_exit.close)
    return until_exit.enter_context(scratch_folder())


def is_left_over(path: Path, *, remove: bool = False) -> bool:
    """Whether no process holds an unfinished file, or a scratch folder, of this user; ``remove``
    it then.
    """
    if sys.platform == "win32":
        with suppress(OSError):  # there nobody can remove, or rename, a file that is open
            path.unlink() if remove else path.rename(path)
            return True
        return False
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.fstat(handle).st_uid != os.geteuid() and os.geteuid() != 0:
            return False
        if remove:
            path.unlink()
    except OSError:
        return False
    finally:
        os.close(handle)
    return True


def _hold(handle: int) -> bool:
    """Hold an open file against others; whether it still has a name. Where the file system knows
    no locks, nobody takes it away, either.
    """
    if sys.platform == "win32":
        return True
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX)
    return os.fstat(handle).st_nlink > 0
