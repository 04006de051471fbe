"""Whether a file can be written where the user wants it: asked before anything is paid for."""

from __future__ import annotations

import tempfile
from pathlib import Path

from llmattn.errors import ConfigError

__all__ = ["check_folder", "check_place"]


def check_place(path: Path, option: str) -> None:
    """Raise ConfigError unless a file can be written at ``path``, which ``option`` named."""
    if path.is_dir():
        raise ConfigError(f"{option} {path} is a folder; name a file in it.")
    _try(path.parent, f"{option} {path}")


def check_folder(folder: Path, option: str) -> None:
    """Raise ConfigError unless ``folder`` can be made, and files be written in it."""
    there = next(each for each in (folder, *folder.absolute().parents) if each.exists())
    _try(there, f"{option} {folder}")


def _try(folder: Path, what: str) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ConfigError(
            f"{what} cannot be written ({folder}: {error.strerror}): name another place, or make "
            "that one writable."
        ) from None
