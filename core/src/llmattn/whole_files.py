"""Files that are read as a whole, in folders that may come from somebody else."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

__all__ = ["check_file", "open_file"]


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
