"""Every file that llmattn writes: whole or not at all, and never in the place of a foreign one."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO

from attrs import frozen

from llmattn.errors import ConfigError, LlmattnError
from llmattn.unfinished import unfinished

__all__ = [
    "STDOUT",
    "Kind",
    "check_output",
    "free_names",
    "is_stream",
    "keep_beside",
    "make_folder",
    "put_in_place",
    "written",
]

STDOUT = Path("-")
_ENDS = 1 << 22
"""Bytes at each end of a file in which its kind is looked for; Parquet says it at its end."""


@frozen
class Kind:
    """Files of one kind. ``noun``: what one is called; ``is_ours`` knows one by its first and last
    bytes, and None takes any, where the name is one that only llmattn gives. ``error``: what is
    raised. ``streams``: one may go to a device, a pipe, or ``-``, which is standard output.
    ``in_folder``: a user names only the folder. It may come from somebody else, so a link in it,
    which could lead out of it, is replaced and not followed.
    """

    noun: str
    is_ours: Callable[[bytes, bytes], bool] | None
    error: type[LlmattnError] = ConfigError
    streams: bool = False
    in_folder: bool = False


def check_output(path: Path, kind: Kind, said: str = "") -> None:
    """Raise ``kind.error`` unless a file of this kind can be written to ``path``, now.

    ``said``: the option that names it. Looks at what stands there, and tries the folder.
    """
    if not is_stream(path, kind, said):
        with _translated(path, kind, said), unfinished(_target(path, kind)):
            pass


@contextmanager
def written(path: Path, kind: Kind, said: str = "") -> Iterator[IO[bytes]]:
    """A file to write to, which has the name ``path`` once the block has ended without an error.

    Until then, and after a crash at any moment, the file that was there is there, whole. The new
    one is on the disk when it gets the name, with the mode and (written by root) the owner of the
    file that it replaces. Where ``path`` is a link, its target is replaced. Raises ``kind.error``
    as :func:`check_output` does, and for an OSError in the block.
    """
    if is_stream(path, kind, said):
        with _translated(path, kind, said), _stream(path) as file:
            yield file
        return
    target = _target(path, kind)
    with _translated(path, kind, said), unfinished(target) as file:
        yield file
        file.flush()
        os.fsync(file.fileno())
        put_in_place(Path(file.name), target, file)


def put_in_place(fresh: Path, target: Path, file: IO[bytes] | None = None) -> None:
    """Give a finished file, which may be open as ``file``, the name and the mode of another, and
    the owner if we may. Raises OSError.
    """
    found = os.lstat(target) if os.path.lexists(target) else None
    if found is not None and stat.S_ISREG(found.st_mode):
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            os.chown(fresh, found.st_uid, found.st_gid)
        os.chmod(fresh, stat.S_IMODE(found.st_mode))
    if file is not None and sys.platform == "win32":
        file.close()  # an open file cannot be renamed there
    os.replace(fresh, target)
    _sync_folder(target.parent)


def keep_beside(path: Path) -> Path | None:
    """Give the file ``path`` a second name beside it, which stays when it is replaced:
    ``model.1.pt`` for ``model.pt``, or the next one that is free. None if there is no file.
    Raises OSError.
    """
    target = _followed(path)
    for kept in free_names(target):
        try:
            os.link(target, kept)
        except FileNotFoundError:
            return None
        except FileExistsError:
            continue
        except OSError:  # a file system without such names
            os.rename(target, kept)
        return path.with_name(kept.name) if path.parent == target.parent else kept
    return None


def free_names(path: Path) -> Iterator[Path]:
    """Names beside ``path`` that nothing has."""
    for number in count(1):
        name = path.with_name(f"{path.stem}.{number}{path.suffix}")
        if not os.path.lexists(name):
            yield name


def make_folder(folder: Path, said: str = "--out") -> None:
    """Make a folder in which files are to be written, and try it. Raises ConfigError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise ConfigError(
            f"{said}: the folder {folder} cannot be made, as there is a file of this name; name "
            "another."
        ) from None
    except OSError as error:
        raise ConfigError(
            f"{said}: the folder {folder} cannot be made ({error.strerror}); name another."
        ) from None
    try:
        with unfinished(folder / "try"):
            pass
    except OSError as error:
        raise ConfigError(
            f"{said}: nothing can be written in the folder {folder} ({error.strerror}); make it "
            "writable, or name another."
        ) from None


def is_stream(path: Path, kind: Kind, said: str = "") -> bool:
    """Whether ``path`` is something to write to as it is: a device, a pipe, standard output.

    Raises ``kind.error`` if nothing of this kind may be written there.
    """
    name = f"{said} {path}" if said else str(path)
    if path == STDOUT:
        if kind.streams:
            return True
        raise kind.error(f"{name} is no file: {kind.noun} cannot go to standard output; name one.")
    try:
        found = os.stat(path, follow_symlinks=not kind.in_folder)
    except FileNotFoundError:
        _check_folder(path, kind, said)
        return False
    except (OSError, ValueError) as error:
        raise kind.error(f"{name} cannot be looked at ({_reason(error)}).") from None
    mode = found.st_mode
    if stat.S_ISLNK(mode) or (stat.S_ISFIFO(mode) and kind.is_ours is None):
        return False  # in our own folder, where a stranger may have put it
    if stat.S_ISDIR(mode):
        raise kind.error(f"{name} is a folder; name a file, such as {path / 'name'}{path.suffix}.")
    if stat.S_ISCHR(mode) or stat.S_ISFIFO(mode):
        if kind.streams:
            return True
        raise kind.error(f"{name} is a device or a pipe, and {kind.noun} is a file; name one.")
    if not stat.S_ISREG(mode):
        raise kind.error(f"{name} is a disk or a socket, which is not written to; name a file.")
    if not mode & 0o222:
        raise kind.error(
            f"{name} is protected from being written: chmod u+w it, or name another file."
        )
    if found.st_size and kind.is_ours and not kind.is_ours(*_ends_of(path, kind, said)):
        raise kind.error(
            f"{name} is there already and is not {kind.noun} of llmattn, so it is left as it is: "
            "move it away, or name another file."
        )
    return False


def _check_folder(path: Path, kind: Kind, said: str) -> None:
    folder = _target(path, kind).parent
    if not folder.is_dir():
        what = "is no folder: make it one" if folder.exists() else "is not there: make it"
        raise kind.error(f"{_cannot(path, kind)}: {folder} {what}, or {_another(said)}.")


def _ends_of(path: Path, kind: Kind, said: str) -> tuple[bytes, bytes]:
    with _translated(path, kind, said), path.open("rb") as file:
        head = file.read(_ENDS)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _ENDS))
        return head, file.read(_ENDS)


def _target(path: Path, kind: Kind) -> Path:
    """The file to write."""
    return path if kind.in_folder else _followed(path)


def _followed(path: Path) -> Path:
    """The file that a link leads to, or ``path`` itself."""
    return Path(os.path.realpath(path)) if path.is_symlink() else path


@contextmanager
def _stream(path: Path) -> Iterator[IO[bytes]]:
    if path == STDOUT:
        yield sys.stdout.buffer
        sys.stdout.flush()
    else:
        with path.open("wb") as file:
            yield file


@contextmanager
def _translated(path: Path, kind: Kind, said: str) -> Iterator[None]:
    """What the system says, as an error of this kind."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise kind.error(
            f"{_cannot(path, kind)} ({_reason(error)}): make room or make the folder "
            f"{path.parent} writable, or {_another(said)}."
        ) from None


def _cannot(path: Path, kind: Kind) -> str:
    noun = kind.noun.removeprefix("a ").removeprefix("an ")
    return f"No {noun} can be written to {path}"


def _another(said: str) -> str:
    return f"name another with {said}" if said else "name another file"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)


def _sync_folder(folder: Path) -> None:
    """Let a new name survive a power cut, where the system can say so."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(handle)
    finally:
        os.close(handle)
