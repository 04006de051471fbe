"""examples/sentences.py makes a sentence a line of a book."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "examples" / "sentences.py"
BOOK = """\ufeffThe Project Gutenberg eBook of Nothing
*** START OF THE PROJECT GUTENBERG EBOOK NOTHING ***

CHAPTER I

Mr. Smith came home late, and
he was wet. "Is it raining?" asked
his wife. It was not! He had 3.5 shillings, e.g. for
bread.

*** END OF THE PROJECT GUTENBERG EBOOK NOTHING ***
A licence.
"""


def test_a_book_becomes_one_sentence_a_line(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(BOOK, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(tmp_path / "book.txt")],
        capture_output=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.decode().splitlines() == [
        "CHAPTER I",
        "Mr. Smith came home late, and he was wet.",
        '"Is it raining?" asked his wife.',
        "It was not!",
        "He had 3.5 shillings, e.g. for bread.",
    ]
