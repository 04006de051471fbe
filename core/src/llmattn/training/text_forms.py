"""What a tokenizer leaves out of a text (case, spaces, some marks), in bits that write it."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import islice, pairwise
from math import lgamma, log

import numpy as np

from llmattn.data.corpus import Split
from llmattn.data.written import WrittenText

__all__ = ["left_out_bits"]

_CASES = {"l": str.lower, "c": str.capitalize, "u": str.upper}
_LONGEST = 256
"""Tokens after which a guess forgets its line: it costs the more the longer the line is."""
_ENDS = "\0"  # of a gap, of a word


def left_out_bits(split: Split) -> float:
    """The bits that make the text to the byte of the tokens that a model predicts of ``split``.

    Each token is guessed to be written as in samples: one space between words, a capital where a
    sentence begins. Its *form* is how it differs from that; forms are written with an adaptive
    code, which learns from the text how frequent each one is after each kind of guess. The letters
    of unknown words are not counted. Nothing left out costs nothing.
    """
    forms: dict[str, Counter[str]] = defaultdict(Counter)
    unk_id, guesses = split.tokenizer.unk_id, WrittenText(split.tokenizer)
    for start, end in _stretches(split):
        ids = split.ids[start:end].tolist()
        guessed = zip(ids, guesses.follow(ids), split.written[start:end], strict=True)
        for token, guess, found in islice(guessed, 1, None):  # the first is no prediction
            forms[_kind(guess)][_form(found, guess, token == unk_id)] += 1
    return sum(_adaptive_bits(each) for each in forms.values() if set(each) != {""})


def _stretches(split: Split) -> Iterator[tuple[int, int]]:
    """Where each line begins, at an ``<eol>``, and ends, after another; long ones in parts, of
    which each begins with the last token of the one before.
    """
    marks = np.flatnonzero(split.ids == split.tokenizer.eol_id).tolist()
    for first, last in pairwise(marks):
        if last > first + 1:  # else no line, but the end of one stretch and the start of the next
            for start in range(first, last, _LONGEST):
                yield start, min(start + _LONGEST, last) + 1


def _kind(guess: str) -> str:
    """What is often written alike: words, words with a capital, each mark, line ends."""
    word = guess.strip()
    if word[:1].isalnum():
        return "A" if word[:1].isupper() else "a"
    return word or guess


def _form(found: str, guess: str, is_unknown: bool) -> str:
    """What must be known beside ``guess`` to write ``found``; empty for nothing."""
    if found == guess:
        return ""
    word = guess.lstrip()
    gap = found[: len(found) - len(found.lstrip() if is_unknown else word)]
    end = found[len(gap) :]
    if is_unknown or end == word:
        how = ""
    else:
        how = next((name for name, change in _CASES.items() if change(word) == end), f"={end}")
    same_gap = gap == guess[: len(guess) - len(word)]
    return "" if same_gap and not how else f"{'' if same_gap else f'={gap}'}{_ENDS}{how}{_ENDS}"


def _adaptive_bits(forms: Counter[str]) -> float:
    """After n forms, c of which were alike, one more of these takes log2((n + 1) / c) bits; one
    that is new log2(n + 1) bits, and its spelling at 8 bits a byte.
    """
    nats = lgamma(forms.total() + 1) - sum(map(lgamma, forms.values()))
    spelling = sum(len(form.encode("utf-8", "surrogatepass")) for form in forms)
    return nats / log(2) + 8 * spelling
