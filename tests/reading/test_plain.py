"""Text without what nobody sees."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmattn.errors import CorpusError
from llmattn.reading.plain import LONGEST_WORD, check_runs, plain_line, plain_text

untimed = settings(deadline=None)

AWKWARD = (
    "a \n\r\v\f\x85\u2028\u2029\x00\x1b\x7f\u00ad\u034f\u0301\u0958\u05d0\u0628\u0915\u094d\u0e01"
    "\u200b\u200c\u200d\u200e\u2060\ufeff\u3164\u6211\u304b\u2764\ufe0f\U0001f469\U0001f3f4"
    "\U000e0067\U000e007f\U0001f1e9\ud800"
)


@untimed
@given(st.text(st.sampled_from(AWKWARD)) | st.text())
def test_plain_text_stays_as_it_is(text: str) -> None:
    plain = plain_text(text)
    assert plain_text(plain) == plain
    assert unicodedata.is_normalized("NFC", plain)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("a\r\nb\rc\x85d\u2028e\u2029f\vg\fh", "a\nb\nc\nd\ne\nf\ng\nh"),
        ("\ufeffcafe\u0301\ufeff", "café"),
        ("so\u00adft zero\u200bwidth wo\u2060rd", "soft zerowidth word"),
        ("ไทย\u200bไทย", "ไทย ไทย"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("می\u200c خواهم", "می خواهم"),
        ("क्\u200dष ക്\u200d", "क्\u200dष ക്\u200d"),
        ("shelf\u200cful a\u200db", "shelfful ab"),
        ("👩\u200d👩 👩\u200d x", "👩\u200d👩 👩 x"),
        ("\U0001f3f4\U000e0067\U000e007f a\U000e0067", "\U0001f3f4\U000e0067\U000e007f a"),
        ("bell\x07 \x1b[0m\x00", "bell   [0m "),
        ("\u3164a\u2800b", "a b"),
    ],
)
def test_what_nobody_sees_is_left_out(text: str, plain: str) -> None:
    assert plain_text(text) == plain


def test_a_line_has_no_line_ends() -> None:
    assert plain_line("a\r\nb\u2028c", "The prompt") == "a b c"


@pytest.mark.parametrize("letter", ["a", "ก", "e\u0320", "我x", " "])
def test_the_longest_word_is_read_and_a_longer_one_is_not(letter: str) -> None:
    fits = (letter * LONGEST_WORD)[:LONGEST_WORD]
    for before in ("", "b ", "x. " * 1999, "b\n" * 3000):
        check_runs(f"{before}.{fits}.{fits}", "It")
        if letter != "我x":
            with pytest.raises(CorpusError, match=r"in a row"):
                check_runs(f"{before}.{fits}{letter}.", "It")


def test_a_long_word_is_told_by_its_line() -> None:
    with pytest.raises(CorpusError, match=r"The prompt: line 3 holds 4,001 or more letters"):
        check_runs("a\n\n" + "b" * 4001, "The prompt")
