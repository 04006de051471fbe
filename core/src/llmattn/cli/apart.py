"""What a command reads is never what it writes."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from llmattn.errors import ConfigError

__all__ = ["check_apart"]


def check_apart(outputs: Mapping[str, Path], others: Mapping[str, Path]) -> None:
    """Raise ConfigError if two names of a command lead to one file, and it writes to one of them.

    Both by what the user calls them; ``others`` may hold the outputs, too.
    """
    for said, path in outputs.items():
        for other, read in others.items():
            if said != other and _same(path, read):
                raise ConfigError(
                    f"{said} {path} is the same as {other} {read}, which would be overwritten: "
                    "name another."
                )


def _same(one: Path, other: Path) -> bool:
    """Whether two paths lead to one file, also one that is not there yet."""
    try:
        return os.path.samefile(one, other)
    except (OSError, ValueError):
        return os.path.realpath(one) == os.path.realpath(other)
