"""Text without what nobody sees: one kind of line end, NFC, no invisible characters."""

from __future__ import annotations

import re
import unicodedata

from llmattn.errors import CorpusError

__all__ = ["LONGEST_WORD", "check_runs", "count_lines", "long_run", "plain_line", "plain_text"]

LONGEST_WORD = 4000
"""The most letters, or white space, in a row. Longer ones are no text (and learning pieces of
words takes time with the square of their length)."""

_LINE_ENDS = ("\r\n", "\r", "\x0b", "\x0c", "\x85", "\u2028", "\u2029")
"""What ends a line besides a line feed, by Unicode: all mandatory breaks."""

_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u2800]")
"""Control characters, which no reader sees, and the empty Braille cell: read as a space."""

_NO_SPACES = (  # scripts without spaces between words, of the mainland of South East Asia and Java
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1950-\u19ff\u1a20-\u1aaf\u1b00-\u1b7f"
    "\ua980-\ua9ff\uaa60-\uaadf"
)
_WORD_END = re.compile(f"\u200b(?<=[{_NO_SPACES}]\u200b)(?=[{_NO_SPACES}])")
"""A zero-width space that ends a word; elsewhere it only allows a line to be broken."""

_HIDDEN = re.compile(
    "[\u00ad\u034f\u061c\u17b4\u17b5\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0"
    "\ufff9-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0001]"
    # Tags spell a flag behind a black one; elsewhere they are text that no reader sees.
    "|[\U000e0020-\U000e007f](?<![\U0001f3f4\U000e0020-\U000e007f].)[\U000e0020-\U000e007f]*"
)
"""Where a word may be broken, which way it runs, how to annotate it: no part of the word."""

_JOINED = (  # scripts whose letters are shaped by their neighbours: Arabic, Indic, Mongolian ...
    "\u0600-\u0dff\u0f00-\u109f\u1700-\u18af\u1a20-\u1cff\ua800-\uabff\ufb50-\ufdff\ufe70-\ufefc"
    "\U00010a00-\U00011fff\U0001e900-\U0001e95f"
)
_EMOJI = "\u00a9\u00ae\u2190-\u2bff\ufe0f\U0001f000-\U0001faff"
# Each pattern below begins with what it looks for, not with what stands before that: so a text
# without it is passed over ten times as fast.
_JOINERS = re.compile("([\u200c\u200d])[\u200c\u200d]+")
_IDLE_JOINER = re.compile(
    f"\u200c(?:(?<![{_JOINED}]\u200c)|(?![{_JOINED}]))"
    f"|\u200d(?:(?<![{_JOINED}{_EMOJI}]\u200d)|(?<=[{_EMOJI}]\u200d)(?![{_EMOJI}]))"
)
"""Zero-width (non-)joiners that change no letter's shape and join no emoji."""

_HAN = "\u2e80-\u2fdf\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(  # a run that may be one word, or one emoji of many parts; Python has no class
    # for letters and marks
    f"[^\\s!-&(-/:-@\\[-^`{{-\xa8\xaa-\xad\xaf-\xbf\u2000-\u200b\u200e-\u2018\u201a-\u20cf"
    f"\u2100-\u218f\u3000-\u3029\u3030-\u303f{_HAN}\ufe30-\ufe6b\uff01-\uff0f]*"
)
_SPACE = re.compile(r"[^\S\n]*")


def plain_text(text: str) -> str:
    """``text`` with line feeds alone as line ends, in NFC, without invisible characters.

    Joiners stay where they shape a letter or join emoji. What stands in docs/corpora.md under
    "How a text is read" is done here and nowhere else.
    """
    for end in _LINE_ENDS:
        text = text.replace(end, "\n")
    text = _CONTROL.sub(" ", text)
    if text.isascii():
        return text
    text = _HIDDEN.sub("", _WORD_END.sub(" ", text))
    text = _IDLE_JOINER.sub("", _JOINERS.sub(r"\1", text))
    return unicodedata.normalize("NFC", text)


def plain_line(text: str, name: str) -> str:
    """A prompt, or another text that is one line, as :func:`plain_text`; line ends become spaces.

    Raises CorpusError, with ``name`` for the text, for a word that is too long, or for what is no
    string.
    """
    if not isinstance(text, str):
        raise CorpusError(f"{name} must be a string, not a {type(text).__name__}.")
    line = plain_text(text).replace("\n", " ")
    check_runs(line, name)
    return line


def count_lines(text: str) -> int:
    """How many line ends of any kind there are in ``text``."""
    return plain_text(text).count("\n")


def check_runs(text: str, name: str) -> None:
    """Raise CorpusError if plain ``text`` has more than :data:`LONGEST_WORD` letters in a row, or
    so much white space.
    """
    if found := long_run(text):
        start, end = found
        line = text.count("\n", 0, start) + 1
        is_sign = unicodedata.category(text[start]).startswith("S")
        kind = "signs" if is_sign else "letters"
        kind = "characters of white space" if text[start].isspace() else kind
        raise CorpusError(
            f"{name}: line {line} holds {end - start:,} or more {kind} in a row "
            f"({text[start : start + 20]!r}...), more than the {LONGEST_WORD:,} that a "
            "text may have: put spaces or line ends where words end, or leave this out."
        )


def long_run(text: str) -> tuple[int, int] | None:
    """Where plain ``text`` has more than :data:`LONGEST_WORD` letters or spaces in a row: the
    first of them or a later one, and the end; None if nowhere.
    """
    for run in (_WORD, _SPACE):
        for place in range(LONGEST_WORD, len(text), LONGEST_WORD):
            # A longer run covers one of these places: nothing else need be looked at.
            end = _end(run, text, place)
            if end == place:
                continue
            start = place - _end(run, text[place - LONGEST_WORD : place][::-1], 0)
            if end - start > LONGEST_WORD:
                return start, end
    return None


def _end(run: re.Pattern[str], text: str, place: int) -> int:
    found = run.match(text, place)
    return found.end() if found else place
