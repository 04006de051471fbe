"""The beginning of a text, for comparisons in little data."""

from __future__ import annotations

import re
from pathlib import Path

from llmattn.comparing.store import make_folder
from llmattn.data.tokenizer import PRESETS
from llmattn.errors import ConfigError, CorpusError

__all__ = ["first_words"]


def first_words(path: Path, words: int, folder: Path, *, preset: str = "words") -> Path:
    """A file in ``folder`` with the first lines of ``path``, up to the one that holds word
    number ``words``; blank lines stand as they are.

    A word is a token of the preset. Raises CorpusError for a text that is shorter.
    """
    expression = re.compile(PRESETS.get(preset, PRESETS["words"]))
    kept, found = [], 0
    try:
        with path.open(encoding="utf-8-sig", newline="\n") as lines:
            for line in lines:
                kept.append(line)
                found += len(expression.findall(line))
                if found >= words:
                    break
    except (OSError, UnicodeDecodeError):
        return path  # reading it as a corpus tells what is wrong, in full
    if found < words:
        raise CorpusError(
            f"--limit-words {words}: {path} has {found:,} words; leave the option out, or lower it."
        )
    make_folder(folder)
    target = folder / f"{path.stem}-{words}-words.txt"
    text = "".join(kept).encode()
    try:
        # Processes that train may read it now, so what is there already is left alone.
        if not target.exists() or target.read_bytes() != text:
            target.write_bytes(text)
    except OSError as error:
        raise ConfigError(f"--out: {target} cannot be written ({error.strerror}).") from None
    return target
