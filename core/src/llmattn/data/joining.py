"""Tokens as the text that a person would write, at once or while a line grows."""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from typing import Protocol

__all__ = ["EOL", "GrowingLine", "PieceLine", "WordLine", "is_unspaced", "join_tokens"]

EOL = "<eol>"

_NO_SPACE_BEFORE = frozenset(".,;:!?)]}%…’”»-–—/،؛؟۔।॥")
_NO_SPACE_AFTER = frozenset("([{$£€#@“„«¿¡-–—/")
_UNSPACED = re.compile(
    "[\u2e80-\u312f\u31a0-\u9fff\uf900-\ufaff\ufe30-\ufe4f\uff01-\uff9f\U00020000-\U0003ffff]"
)
"""Han characters, kana, and the marks that stand between them: no spaces are beside them."""
_CLIPPED = frozenset({"tis", "twas", "twere", "twill", "twould", "em", "gainst", "til"})
"""Words that an apostrophe opens: 'tis, not tis'."""


class GrowingLine(Protocol):
    """A line that is shown while it grows."""

    def text(self) -> str:
        """What has not been shown yet and will not change any more."""
        ...

    def add(self, token: int) -> str:
        """Append a token; what can now be shown."""
        ...

    def rest(self) -> str:
        """What was held back."""
        ...


class WordLine:
    """A line of words; spaces depend on the neighbours."""

    def __init__(self, words: list[str], vocabulary: Sequence[str]) -> None:
        self._words, self._vocabulary = words, vocabulary
        self._shown = 0

    def text(self) -> str:
        """What has not been shown yet and will not change any more."""
        # An apostrophe sticks to the word before it or after it, which the next word tells.
        settled = self._words[:-1] if self._words[-1:] == ["'"] else self._words
        return self._show(settled)

    def add(self, token: int) -> str:
        """Append a word; what can now be shown."""
        self._words.append(self._vocabulary[token])
        return self.text()

    def rest(self) -> str:
        """What :meth:`text` held back."""
        return self._show(self._words)

    def _show(self, words: list[str]) -> str:
        whole = join_tokens(words)
        new, self._shown = whole[self._shown :], len(whole)
        return new


class PieceLine:
    """A line of pieces, given as the bytes of each; a character may take several."""

    def __init__(self, prompt: str, pieces: Sequence[bytes]) -> None:
        self._waiting, self._pieces = prompt, pieces
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def text(self) -> str:
        """What has not been shown yet."""
        new, self._waiting = self._waiting, ""
        return new

    def add(self, token: int) -> str:
        """Append a piece; the characters that are now whole."""
        return self.text() + self._decoder.decode(self._pieces[token])

    def rest(self) -> str:
        """A mark in place of a character that was not ended."""
        return self.text() + self._decoder.decode(b"", final=True)


def is_unspaced(word: str) -> bool:
    """Whether no space stands beside ``word``, since its script has none."""
    return _UNSPACED.match(word) is not None


def join_tokens(tokens: Sequence[str]) -> str:
    """Tokens as a person would write them."""
    text = ""
    glue = True
    quotes = 0
    for position, word in enumerate(tokens):
        if word == EOL:
            text, glue, quotes = text + "\n", True, 0
            continue
        following = tokens[position + 1] if position + 1 < len(tokens) else ""
        before = after = False  # whether the token sticks to its neighbours
        if word == '"':
            before, after = quotes % 2 == 1, quotes % 2 == 0
            quotes += 1
        elif word == "'":
            after = following in _CLIPPED
            before = not after
        else:
            before = word in _NO_SPACE_BEFORE or is_unspaced(word)
            after = word in _NO_SPACE_AFTER or is_unspaced(word)
        text += word if glue or before else f" {word}"
        glue = after
    return text
