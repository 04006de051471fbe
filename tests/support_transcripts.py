"""Transcripts in pages: below each ``$`` of a block of `console` stands what comes."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["commands_of", "same"]


def commands_of(block: str) -> Iterator[tuple[str, str]]:
    """Each command of a block, without its ``$``, and what the page shows of its output."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, shown = re.sub(r"\\\n\s*", "", part).partition("\n")
        yield command, shown


def same(shown: str, came: str) -> bool:
    """Whether ``came`` is what is shown, where ``…`` stands for anything: a line of its own for
    lines, within a line for characters and the spaces around them.
    """
    lines = [
        re.sub(r"(\\ )*…(\\ )*", ".*", re.escape(line.rstrip()))
        for line in shown.strip().splitlines()
    ]
    pattern = "".join("(?:.*\n)*?" if line == ".*" else f"{line} *\n" for line in lines)
    return re.fullmatch(pattern, came.strip() + "\n") is not None
