"""The beginning of a text, for comparisons in little data."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from llmattn.comparing.store import make_folder
from llmattn.data.tokenizer import PRESETS, count_words
from llmattn.errors import ConfigError, CorpusError
from llmattn.reading.files import read_text
from llmattn.whole_files import open_file, replacing

__all__ = ["first_words"]


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
            f"--limit-words {words}: {path} has {found:,} words; leave the option out, or lower it."
        )
    make_folder(folder)
    target = folder / f"{path.stem}-{words}-words.txt"
    kept = lines[: int(np.searchsorted(totals, words)) + 1]
    text = "".join(f"{line}\n" for line in kept).encode()
    try:
        # Processes that train may read it now, so what is there already is left alone.
        if not _holds(target, text):
            with replacing(target) as new:
                new.write_bytes(text)
    except OSError as error:
        raise ConfigError(f"--out: {target} cannot be written ({error.strerror}).") from None
    return target


def _holds(path: Path, content: bytes) -> bool:
    try:
        with open_file(path) as file:
            return file.read(len(content) + 1) == content
    except OSError:
        return False
