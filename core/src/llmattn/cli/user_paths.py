"""The paths that a person has given to a command, wherever: typed, or in a configuration file."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import typer

from llmattn.paths import user_path

__all__ = ["user_paths"]


def user_paths(command: Callable[..., None]) -> Callable[..., None]:
    """``command``, called with every path as :func:`llmattn.paths.user_path` reads it."""

    @wraps(command)
    def run(**values: Any) -> None:
        paths = {name: user_path(v) for name, v in values.items() if isinstance(v, Path)}
        for value in values.values():
            if isinstance(value, typer.Context):
                value.params.update(paths)
        command(**{**values, **paths})

    return run
