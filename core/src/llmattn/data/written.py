"""Tokens as pieces of a text that a person would write, one a token, while the text grows."""

from __future__ import annotations

from collections.abc import Sequence

from llmattn.data.joining import is_unspaced
from llmattn.data.text_tokenizer import TextTokenizer

__all__ = ["WrittenText"]

_ENDS_SENTENCE = frozenset(".!?")


class WrittenText:
    """The tokens of a text as pieces of one that a person would write.

    A piece depends on the tokens up to it alone. ``opening``: how the first line begins, as its
    author wrote it; its own tokens are written so. The other words of a tokenizer that lowers
    them begin with a capital where a sentence begins.
    """

    def __init__(self, tokenizer: TextTokenizer, opening: str = "") -> None:
        self._tokenizer = tokenizer
        opening = opening.strip()
        self._opening = [tokenizer.eol_id, *tokenizer.encode(opening)]
        *self._given, self._rest = next(iter(tokenizer.written([opening])))
        self._start(is_opening=False)

    def follow(self, ids: Sequence[int]) -> list[str]:
        """The pieces of ``ids``. Those of a text that has only grown are not made anew."""
        ids = list(ids)
        if not self._ids or ids[: len(self._ids)] != self._ids:
            self._start(is_opening=ids[: len(self._opening)] == self._opening)
        for token in ids[len(self._ids) :]:
            self._pieces.append(self._piece(token))
            self._ids.append(token)
        return self._pieces

    def _start(self, *, is_opening: bool) -> None:
        """Forget the text; the next one may begin with the opening."""
        self._ids: list[int] = []
        self._pieces: list[str] = []
        self._line = self._tokenizer.line("")
        self._opens = True
        self._is_opening = is_opening

    def _piece(self, token: int) -> str:
        place = len(self._ids)
        # What follows the opening's last token, such as a mark that the tokenizer leaves out.
        between = self._rest if self._is_opening and place == len(self._opening) else ""
        if token == self._tokenizer.eol_id:
            piece = f"{between}{self._line.rest()}\n"
            self._line, self._opens = self._tokenizer.line(""), True
            return piece
        piece = self._line.add(token)
        if self._is_opening and place < len(self._opening):
            # An apostrophe at its end waits for the word after it, as elsewhere.
            waits = not piece and place == len(self._opening) - 1
            piece = piece if waits else self._given[place - 1]
        elif self._tokenizer.tokens_are_words:
            if place == 0 and piece[:1].isalnum() and not is_unspaced(piece):
                piece = f" {piece}"  # the text begins inside a line
            elif piece.strip() == "i" or (self._opens and piece.strip()[:1].isalpha()):
                piece = _capital(piece)
        # Marks leave a sentence's beginning open; a word closes it, whatever marks it holds.
        has_begun = any(map(str.isalnum, piece))
        self._opens = piece[-1:] in _ENDS_SENTENCE or (self._opens and not has_begun)
        return between + piece


def _capital(piece: str) -> str:
    """``piece`` with its first letter, after white space, as a capital."""
    start = len(piece) - len(piece.lstrip())
    return piece[:start] + piece[start : start + 1].upper() + piece[start + 1 :]
