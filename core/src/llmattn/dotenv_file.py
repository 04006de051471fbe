"""The nearest ``.env``, read as it stands."""

from __future__ import annotations

import io
from pathlib import Path

from dotenv import dotenv_values

from llmattn.own_files import nearest, read_own

__all__ = ["find_dotenv", "read_dotenv"]


def find_dotenv() -> Path | None:
    """The nearest ``.env`` from the working directory upward; None if there is none."""
    return nearest(".env")


def read_dotenv(path: Path) -> dict[str, str]:
    """The values of ``path``, none of them expanded: ``${NAME}`` stays as it is written, so that
    no file can make a key a part of another value.

    Empty, with a line on stderr, for a file that somebody else may have written. Raises ConfigError
    for one that cannot be read.
    """
    values = dotenv_values(stream=io.StringIO(read_own(path) or ""), interpolate=False)
    return {name: value for name, value in values.items() if value}
