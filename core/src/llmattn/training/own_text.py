"""Which path of those that a checkpoint names may be read: a file decides nothing elsewhere."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from llmattn.errors import CheckpointError
from llmattn.training.checkpoint import Checkpoint

__all__ = ["own_text"]


def own_text(file: Path, checkpoint: Checkpoint) -> Path:
    """The text that the checkpoint in ``file`` says it was trained on, for a user who names none.

    It is taken only from where the user has pointed: an ordinary file in or below the working
    folder, or that of ``file``, links followed. Raises CheckpointError for any other.
    """
    path = Path(checkpoint.corpus)
    try:
        real = os.path.realpath(path)
        folders = {os.path.realpath(folder) for folder in (Path.cwd(), file.parent)}
        near = any(os.path.commonpath([folder, real]) == folder for folder in folders)
        if near and (os.path.isfile(real) or not os.path.exists(real)):
            return path
    except (OSError, ValueError):  # no path at all
        pass
    words = f"if you mean that one, add --corpus {shlex.quote(str(path))}"
    if not checkpoint.corpus.isprintable():
        words = "name the text with --corpus"
    raise CheckpointError(
        f"{file} says that its text is {checkpoint.corpus!r}, which is no file in the working "
        f"folder or beside the checkpoint, and nothing else is read at a file's word: {words}"
    )
