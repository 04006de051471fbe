"""Tells a text whose words a word tokenizer does not find, as in scripts without spaces."""

from __future__ import annotations

from collections.abc import Sequence

from llmattn.data.tokenizer import WordTokenizer

__all__ = ["LONG_WORDS", "has_long_words"]

_LONG = 20
_LINES, _LETTERS = 1000, 2000

LONG_WORDS = (
    f"Most of this text is in words of more than {_LONG} letters, as in a script without spaces "
    "between words: --tokenizer bpe learns pieces of them."
)


def has_long_words(lines: Sequence[str], tokenizer: WordTokenizer) -> bool:
    """Whether more than half of the letters are in words of more than 20 letters.

    Of a long text some lines are looked at, from all over it.
    """
    some = lines[:: -(-len(lines) // _LINES)]
    sizes = [
        len(word)
        for line in some
        for word in tokenizer.words(line[:_LETTERS])
        if any(map(str.isalpha, word))
    ]
    return sum(size for size in sizes if size > _LONG) > sum(sizes) / 2
