"""Files that are read and written as a whole, in folders that may come from somebody else."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

__all__ = ["check_file", "open_file", "replacing"]


def open_file(path: Path) -> BinaryIO:
    """The file at ``path``, to read. Raises OSError if it cannot be read, or is no ordinary file:
    a pipe would be waited for, a device read without end.
    """
    check_file(path)
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    file = os.fdopen(handle, "rb")
    try:
        _check_kind(os.fstat(handle).st_mode)  # another may have taken its place
    except OSError:
        file.close()
        raise
    return file


def check_file(path: Path) -> None:
    """Raise OSError unless ``path`` is an ordinary file; of a device not even the opening is
    without consequences.
    """
    _check_kind(os.stat(path).st_mode)


def _check_kind(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError("it is a folder, not a file")
    if not stat.S_ISREG(mode):
        raise OSError("it is a pipe or a device, not a file")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """An empty file beside ``path`` for the block to write, which then takes its place, flushed to
    the disk: a reader, or a crash at any moment, finds the old file or the new one, whole.

    A link at ``path`` is replaced, not followed: it could lead out of a folder that was passed
    on. Raises OSError; where the block raises, all stays as it was.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    os.close(handle)
    new = Path(name)
    try:
        yield new
        with new.open("rb+") as file:
            os.fsync(file.fileno())
        # mkstemp makes files that only the user may read; this becomes an ordinary one.
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(new, 0o666 & ~umask)
        os.replace(new, path)
    finally:
        new.unlink(missing_ok=True)
