"""Whether a file is a checkpoint at all, told before torch is loaded."""

from __future__ import annotations

from pathlib import Path

from llmattn.errors import CheckpointDamaged, CheckpointError
from llmattn.reading.kinds import recognise
from llmattn.whole_files import open_file

__all__ = ["check_checkpoint"]

_HEAD = 4096
_WANTED = "name a checkpoint, which `llmattn train` writes (checkpoint.pt if nothing else is said)."


def check_checkpoint(path: Path) -> None:
    """Raise CheckpointError if nothing is at ``path``, or something that is no checkpoint by its
    first bytes; of a folder only its parts can tell.
    """
    if path.is_dir():
        return
    try:
        with open_file(path) as file:
            start = file.read(_HEAD)
    except FileNotFoundError:
        raise CheckpointError(
            f"There is no checkpoint at {path}: make one with `llmattn train CORPUS`, or name one "
            "with --checkpoint FILE."
        ) from None
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}.") from None
    if start.startswith(b"PK\x03\x04"):
        return
    if start.startswith(b"\x80") and start[1:2] <= b"\x05":
        raise CheckpointDamaged(
            f"{path} is a bare pickle, so it is not loaded: such a file can run any program. "
            "llmattn's own checkpoints never are."
        )
    if not start:
        what = "is empty, or was truncated"
    elif _is_text(start):
        what = "is a text, and no checkpoint"
    elif foreign := recognise(start):
        what = f"is {foreign.name}, and no checkpoint"
    else:
        what = "is no checkpoint, or was truncated at its beginning"
    raise CheckpointDamaged(f"{path} {what}: {_WANTED}")


def _is_text(start: bytes) -> bool:
    text = start.decode("utf-8", "ignore")
    return len(text.encode()) > len(start) - 4 and "\0" not in text
