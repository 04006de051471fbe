"""Where a path that a user has written leads: the one place that reads ``~``."""

from __future__ import annotations

from pathlib import Path

from llmattn.errors import ConfigError

__all__ = ["user_path"]


def user_path(written: str | Path) -> Path:
    """``written`` with ``~`` and ``~name`` as the shell reads them; else as it is.

    A shell leaves ``~`` alone in ``--out=~/x``, and a file or a variable knows no shell.
    Raises ConfigError for a user who has no home folder here.
    """
    try:
        return Path(written).expanduser()
    except RuntimeError:
        raise ConfigError(
            f"{written}: there is no home folder of that name; write the whole path, or ./~... for "
            "a name that begins so."
        ) from None
