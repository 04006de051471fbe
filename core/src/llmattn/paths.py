"""Where a path that a user has written leads: the one place that reads ``~``."""

from __future__ import annotations

from pathlib import Path

from llmattn.errors import ConfigError

__all__ = ["user_path"]


def user_path(written: str | Path) -> Path:
    """``written`` with ``~`` and ``~name`` as the shell reads them; else as it is.

    A shell leaves ``~`` alone in ``--out=~/x``, and a file or a variable knows no shell.
    Raises ConfigError for a folder of a user who has no home here, which would else be made in
    the working directory; a file by itself may have such a name.
    """
    path = Path(written)
    try:
        return path.expanduser()
    except RuntimeError:
        if len(path.parts) == 1 and path.name != "~":
            return path
        raise ConfigError(
            f"{written}: there is no home folder {path.parts[0]}; write the whole path."
        ) from None
