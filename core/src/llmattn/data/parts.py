"""The lines of a text, and its parts: to train on, to validate and to test."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from llmattn.data.config import TextConfig
from llmattn.data.tokenizer import written_words
from llmattn.errors import CorpusError
from llmattn.reading.plain import LONGEST_WORD
from llmattn.wording import counted

__all__ = ["split_lines", "text_lines"]


def text_lines(text: str, *, keep_blank: bool = False) -> list[str]:
    """The lines of a plain text that are not blank, without white space at their ends.

    ``keep_blank``: a line carries the "\\n" of each blank line after it.
    """
    lines: list[str] = []
    blank = 0
    for raw in text.removesuffix("\n").split("\n"):  # no line follows the last line end
        line = raw.strip()
        if line:
            if blank:
                lines[-1] += "\n" * blank
            lines.append(line)
            blank = 0
        elif keep_blank and lines:
            blank += 1
    if blank:
        lines[-1] += "\n" * blank
    return lines


def split_lines(
    lines: Sequence[str], config: TextConfig, *, name: str = "The corpus"
) -> tuple[list[str], list[str], list[str]]:
    """The first lines for training, then those for validation, the last for the test.

    Each part is contiguous, as in nanoGPT: a text's neighbouring lines resemble each other, and
    drawing lines at random would let the model see half of each passage. A stream of so few
    lines that a part would have none is cut between words. ``name``: what begins an error. Raises
    CorpusError if a part would be empty; that of the test may be if its fraction is 0.
    """
    val = round(len(lines) * config.val_fraction)
    test = round(len(lines) * config.test_fraction)
    end = len(lines) - test
    parts = list(lines[: max(0, end - val)]), list(lines[max(0, end - val) : end]), lines[end:]
    whole = config.val_fraction + config.test_fraction >= 1
    if config.stream and not whole and _empty_part(parts, config.test_fraction):
        parts = _cut_between_words("\n".join(lines), config.val_fraction, config.test_fraction)
    if empty := _empty_part(parts, config.test_fraction):
        part, option = empty
        hint = "" if config.stream else _HINT
        raise CorpusError(
            f"{name} has {counted(len(lines), 'line')}, too few to keep some for "
            f"{part}: add lines, or choose {option}.{hint}"
        )
    return parts[0], parts[1], list(parts[2])


_HINT = (
    " If it is a running text, not one sentence a line, give --stream (train, score, plan and "
    "compare have it): windows then run on over line ends, and few lines are cut between words."
)


def _empty_part(parts: tuple[Sequence[str], ...], test_fraction: float) -> tuple[str, str] | None:
    """The name of the first part that has no line, and which option may give it some."""
    train, val, test = parts
    if not train:
        return "training", "another --val-fraction or --test-fraction"
    if not val:
        return "validation", "another --val-fraction"
    if test_fraction and not test:
        return "the test", "another --test-fraction"
    return None


def _cut_between_words(
    text: str, val_fraction: float, test_fraction: float
) -> tuple[list[str], list[str], Sequence[str]]:
    """A text cut by its length, each time at the space, or else the word's end, that is nearest."""
    second = _cut(text, round(len(text) * (1 - val_fraction - test_fraction)))
    third = _cut(text, round(len(text) * (1 - test_fraction))) if test_fraction else len(text)
    parts = text[:second], text[second:third], text[third:]
    first, val, test = (text_lines(part, keep_blank=True) for part in parts)
    return first, val, test


def _cut(text: str, place: int) -> int:
    begin = max(0, place - LONGEST_WORD)
    near = text[begin : place + LONGEST_WORD]
    pieces = written_words(near.replace("\n", " "))
    ends = accumulate(map(len, pieces), initial=begin)
    # What stands first and last may be a part of a word, or the text's own end.
    found = list(zip(ends, pieces, strict=False))[1:-1]
    spaced = [end for end, piece in found if piece[:1].isspace()]
    return min(spaced or [end for end, _ in found], key=lambda end: abs(end - place), default=0)
