"""A sample as text that is shown while it grows, line after line."""

from __future__ import annotations

from llmattn.data.text_tokenizer import TextTokenizer

__all__ = ["GrowingLines"]


class GrowingLines:
    """At most ``lines`` lines, of which the first begins with ``prompt``; grows by tokens.

    A line end shows once the next line has a token or an end of its own: a sample that is cut
    after a line end does not end with an empty line.
    """

    def __init__(self, tokenizer: TextTokenizer, prompt: str, lines: int) -> None:
        self._tokenizer = tokenizer
        self._line = tokenizer.line(prompt)
        self._left = lines
        self._break = ""

    def text(self) -> str:
        """What of the prompt will not change any more."""
        return self._line.text()

    def add(self, token: int) -> str:
        """Append a token; what can now be shown. Nothing, after the end of the last line."""
        before, self._break = self._break, ""
        if token != self._tokenizer.eol_id:
            return before + self._line.add(token)
        shown = before + self._line.rest()
        if self._left > 1:
            self._left -= 1
            self._line, self._break = self._tokenizer.line(""), "\n"
        return shown

    def rest(self) -> str:
        """What was held back of a line that has not ended."""
        return self._line.rest()
