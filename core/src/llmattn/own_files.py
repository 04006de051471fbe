"""Files that set something: read only where nobody but their user can have written them."""

from __future__ import annotations

import os
import shlex
import stat
from pathlib import Path

from llmattn.errors import ConfigError
from llmattn.notices import warn_once

__all__ = ["doubt_about", "nearest", "read_own"]

_MOST_BYTES = 1_000_000
"""More than any file of settings; a larger one is another kind of file."""


def nearest(name: str) -> Path | None:
    """The nearest file ``name`` from the working directory upward; None if there is none."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # the folder has been removed
        return None
    paths = (folder / name for folder in (here, *here.parents))
    return next((path for path in paths if os.path.isfile(path)), None)


def read_own(path: Path) -> str | None:
    """The text of a file of settings. None, with a line on stderr, for one that somebody else may
    have written. Raises ConfigError for one that cannot be read.
    """
    try:
        with path.open("rb") as file:
            # What is judged is what was opened, whatever has taken its place since.
            doubt = _doubt(path, os.fstat(file.fileno()))
            content = b"" if doubt else file.read(_MOST_BYTES + 1)
        text = content[:_MOST_BYTES].decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); mend or remove it.") from None
    if doubt:
        warn_once(f"{path} is not read: {doubt}")
        return None
    if len(content) > _MOST_BYTES:
        raise ConfigError(f"{path} is too large for a file of settings; mend or remove it.")
    return text


def doubt_about(path: Path) -> str:
    """Why :func:`read_own` does not read the file, and what to do about it; empty if it does."""
    try:
        return _doubt(path, os.stat(path))
    except OSError as error:
        return f"it cannot be read ({error}); mend or remove it."


def _doubt(path: Path, opened: os.stat_result) -> str:
    """Why the file may be somebody else's word, and what to do about it; empty if it is not.

    Root may write any file anyway, so what belongs to root is trusted by everybody; what belongs
    to a user is not trusted by root.
    """
    if not hasattr(os, "geteuid"):  # Windows has another kind of rights
        return ""
    ours = {os.geteuid(), 0}
    shown = shlex.quote(str(path))
    if opened.st_uid not in ours or os.lstat(path).st_uid not in ours:
        return (
            "it belongs to another user, who could send your keys elsewhere by it. If its content "
            f"is yours, make it your own (chown {os.geteuid()} {shown}), or set the variables in "
            "the environment."
        )
    group_may = opened.st_mode & stat.S_IWGRP and not _is_private(opened.st_gid, opened.st_uid)
    if group_may or opened.st_mode & stat.S_IWOTH:
        return (
            "other users may write it, and could send your keys elsewhere by it. Look through it, "
            f"then: chmod go-w {shown}"
        )
    folder = os.stat(path.parent)
    if folder.st_mode & stat.S_IWOTH and not folder.st_mode & stat.S_ISVTX:
        return (
            "any user may put another file in its place. Move it to a folder of your own, or: "
            f"chmod o-w {shlex.quote(str(path.parent))}"
        )
    return ""


def _is_private(gid: int, uid: int) -> bool:
    """Whether a group has one member alone, the user ``uid``, as many systems give each user one
    and let it write what the user writes. Never so of root's, which programs may be members of.
    """
    import grp
    import pwd

    try:
        user, group = pwd.getpwuid(uid), grp.getgrgid(gid)
    except KeyError:
        return False
    own = user.pw_gid == gid and group.gr_name == user.pw_name
    return uid != 0 and own and not {*group.gr_mem} - {user.pw_name}
