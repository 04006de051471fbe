"""A book becomes one sentence a line: ``python examples/sentences.py BOOK.txt > corpus.txt``.

Lines that the printer broke are joined; an empty line, or the end of a sentence, ends one. The
licence before and after a book of Project Gutenberg is left out.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

_MARK = re.compile(r"^\*\*\* ?(START|END) OF .*$", re.MULTILINE)
_END = re.compile(r"""(?<=[.!?…])(["'”’»)\]]*)\s+(?=["'“‘«(\[]*[^\W\d_a-z])""")
_SHORT = re.compile(r"\b(Mr|Mrs|Ms|Dr|St|Prof|Rev|Capt|Col|Gen|[A-Z])\.$")
"""What ends in a point and no sentence."""


def sentences(text: str) -> Iterator[str]:
    """The sentences of ``text``, each without line ends."""
    marks = list(_MARK.finditer(text))
    if len(marks) >= 2:
        text = text[marks[0].end() : marks[-1].start()]
    for paragraph in re.split(r"\n\s*\n", text.replace("\r\n", "\n")):
        begun = ""
        for part in _END.sub(r"\1\n", " ".join(paragraph.split())).split("\n"):
            begun = f"{begun} {part}".strip()
            if begun and not _SHORT.search(begun):
                yield begun
                begun = ""
        if begun:
            yield begun


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python examples/sentences.py BOOK.txt > corpus.txt")
    for line in sentences(Path(sys.argv[1]).read_text(encoding="utf-8-sig")):
        sys.stdout.buffer.write(f"{line}\n".encode())
