"""The beginning of a text, for comparisons in little data."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from llmattn.data.tokenizer import PRESETS, count_words
from llmattn.errors import CorpusError
from llmattn.reading.files import read_text
from llmattn.whole_files import open_file
from llmattn.wording import counted
from llmattn.writing import Kind, make_folder, written

__all__ = ["first_words"]

_TEXT = Kind("a text", None, in_folder=True)


def first_words(path: Path, words: int, folder: Path, *, preset: str = "words") -> Path:
    """A file in ``folder`` with the first lines of ``path``, up to the one that holds word
    number ``words``; blank lines stand as they are.

    A word is a token of the preset. Raises CorpusError for a text that is shorter.
    """
    lines = read_text(path).split("\n")
    totals = np.cumsum(count_words(lines, preset if preset in PRESETS else "words"))
    found = int(totals[-1])
    if found < words:
        raise CorpusError(
            f"--limit-words {words}: {path} has {counted(found, 'word')}; leave the option "
            "out, or lower it."
        )
    make_folder(folder)
    kept = lines[: int(np.searchsorted(totals, words)) + 1]
    text = "".join(f"{line}\n" for line in kept).encode()
    # Named by what it holds, so that a text of the user's is never taken for it.
    digest = hashlib.sha256(text).hexdigest()[:8]
    target = folder / f"{path.stem}-{words}-words-{digest}.txt"
    # Processes that train may read it now, so what is there already is left alone.
    if not _holds(target, text):
        with written(target, _TEXT, "--out") as file:
            file.write(text)
    return target


def _holds(path: Path, content: bytes) -> bool:
    try:
        with open_file(path) as file:
            return file.read(len(content) + 1) == content
    except OSError:
        return False
