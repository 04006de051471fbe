"""What one run at a time may write: a second one hears who has it, before anything is paid."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from llmattn.errors import ConfigError
from llmattn.locks import OwnedLock

__all__ = ["hold"]


@contextmanager
def hold(output: Path, name: str) -> Iterator[None]:
    """Hold ``output``, a file or a folder that is there, against every other process meanwhile.

    The lock is a hidden file beside a file, or in a folder, and ends with its owner, however that
    dies. Where none can be made nothing is held: whoever writes there will say why that fails.
    ``name``: the option that names the output. Raises ConfigError if another run has it.
    """
    place = output.resolve()
    if place.exists() and not (place.is_file() or place.is_dir()):  # a device is nobody's
        yield
        return
    path = place / ".llmattn.lock" if place.is_dir() else place.with_name(f".{place.name}.lock")
    if not path.parent.is_dir():  # the lock would make the folder
        yield
        return
    lock = OwnedLock(path)

    def refuse(owner: str) -> None:
        raise ConfigError(
            f"{output} is being written by another run ({owner}): two would overwrite each other. "
            f"Wait for it, end it, or write elsewhere with {name}."
        )

    try:
        lock.acquire(refuse)
    except OSError:
        yield
        return
    try:
        yield
    finally:
        for leftover in (path.with_name(f"{path.name}.owner"), path):
            with suppress(OSError):  # Windows removes none that is open; it serves again
                leftover.unlink(missing_ok=True)
        lock.release()
