"""What the kit asks a provider about: words and texts of every kind, the same each time."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence

from llmattn.providers.protocol import Limits
from llmattn.rows import Row, Scope, pair_rows

__all__ = [
    "FUTURES",
    "PIECES",
    "TEXT",
    "TWINS",
    "crowd",
    "last_row",
    "long_row",
    "long_text",
    "positions",
    "random_rows",
    "rows_of",
    "together",
]

_SENTENCE = "the cat that the dog chased eats a fish , and the dog 's bowl is empty ."
TEXT = tuple(_SENTENCE.split())
"""A sentence of bare words, as a provider of PAIR scope is asked about."""

_WRITTEN = "\n|The| cat| that| the| dog| chased|,| eats| a| fish|,| and| it|'s| gone|."
PIECES = tuple(_WRITTEN.split("|"))
"""The same for PREFIX scope: pieces of a text as it was written."""

_ODD_TEXT = (
    "I A THE London KING iPhone NASA's don't 's 't -- ... ! ? ; : ( ) [1] { } < > & % $5 @ # * / "
    "\\ \" ' ` ~ 1 42 1789 3.14 1,000 0 -7 é naïve Straße ÅNGSTRÖM Zürich ñandú Æther œuvre "
    "привет мир 日本 語 猫 العربية שלום हिन्दी ไทย 한국 😀 👩‍👧 e\u0301 ﬁre ½ ₤ ∑ → a-b x_y "
    "antidisestablishmentarianism Donaudampfschifffahrtsgesellschaft"
)
_PLAIN_TEXT = (
    "time year people way day man thing woman life child world school state family student group "
    "country problem hand part place case week company system program question work government "
    "number night point home water room mother area money story fact month lot"
)
_ODD, _PLAIN = _ODD_TEXT.split(), _PLAIN_TEXT.split()
_MIXED = (word for pair in zip(_PLAIN, _ODD, strict=False) for word in pair)
WORDS = tuple(dict.fromkeys([*TEXT, *_MIXED, *_ODD]))
"""Bare words: plain ones, capitals, figures, marks, other scripts."""

FUTURES = (" bananas", "!", "s", "\n", " THE", "'t", " 42", "...", " é", "--", " it", "  ")
"""Other ways for a text to go on: some stick to what stands before them, some do not."""

_ONE = (" the", " old", " king", " saw", " her", " at", " noon")
TWINS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    ((" a", *_ONE), (" b", *_ONE)),
    ((*_ONE, " again"), (*_ONE[:3], " met", *_ONE[4:], " again")),
    (_ONE, _ONE[::-1]),
    ((" the", " re", " is"), (" there", " is", "!")),
    ((" the", "re", " is", " one"), (" there", " is", " one", "!")),
    ((" a b", " c", " d"), (" a", " b c", " d")),
    ((" The", " King", " ran"), (" the", " king", " ran")),
    ((" caf\u00e9", " au", " lait"), (" cafe\u0301", " au", " lait")),
    (("a", "\n", "b", "c"), ("a", "b", "\n", "c")),
    ((" x", " x", " y", " y"), (" x", " y", " y", " y")),
    ((*_ONE, *_ONE), (*_ONE, *_ONE[:6], " six")),
    ((*[" go"] * 40, " on", " now"), (" no", *[" go"] * 39, " on", " now")),
    ((*[" go"] * 40, " on", " now"), (*[" go"] * 20, " no", *[" go"] * 19, " on", " now")),
)
"""Texts that are alike: at their beginning, their end, in length, when joined, in letters."""


def last_row(text: Sequence[str]) -> Row:
    """The row of the last piece of a text, for PREFIX scope."""
    return Row(text[-1], tuple(text), tuple(text[:-1]))


def long_text(length: int, seed: int = 0) -> tuple[str, ...]:
    """A text of so many pieces as they were written, for PREFIX scope."""
    draw = random.Random(seed)  # noqa: S311  (a text, not a secret)
    pieces = [*PIECES, *(f" {word}" for word in WORDS), *FUTURES]
    return tuple(draw.choice(pieces) for _ in range(length))


def positions(text: Sequence[str]) -> list[int]:
    """The places of a text whose rows are asked: each of the first 160, then some."""
    far = (191, 192, 199, 200, 249, 255, 256, 257, 299, 300, 399, 400, 499, 511, 512, 513, 599)
    return [*range(min(160, len(text))), *(place for place in far if place < len(text))]


def rows_of(scope: Scope, text: Sequence[str]) -> list[Row]:
    """The rows of a text; of a long one, those of its :func:`positions`."""
    if scope is Scope.PAIR:
        return pair_rows(text)
    words = tuple(text)
    return [Row(words[i], words[: i + 1], words[:i]) for i in positions(text)]


def together(rows: Iterable[Row], limits: Limits) -> list[list[Row]]:
    """Requests as large as they may be, with the rows in order, whoever is whose beginning."""
    requests: list[list[Row]] = []
    pairs = 0
    for row in rows:
        pairs += len(row.keys)
        full = pairs > limits.pairs_per_request or len(requests[-1:]) == 0
        if full or len(requests[-1]) >= limits.rows_per_request:
            requests.append([])
            pairs = len(row.keys)
        requests[-1].append(row)
    return requests


def long_row(limits: Limits) -> Row:
    """A PAIR row of as many keys as the limits allow, up to 2,100: all different."""
    most = min(limits.keys_per_row, limits.pairs_per_request, 2100)
    words = [*WORDS, *(f"{word}{n}" for n in range(30) for word in WORDS)]
    return Row("king", words[:most])


def crowd(limits: Limits, scope: Scope) -> list[Row]:
    """A request of as many rows as the limits allow, up to 600, each of few keys."""
    most = min(limits.rows_per_request, limits.pairs_per_request // 3, 600) or 1
    words = [*WORDS, *(f"{word}{n}" for n in range(6) for word in WORDS)][:most]
    if scope is Scope.PAIR:
        return [Row(word, ("the", word, "King")[: limits.keys_per_row]) for word in words]
    return [Row(f" {word}", ("\n", " the", f" {word}"), ("\n", " the")) for word in words]


def random_rows(scope: Scope, seed: int, count: int) -> list[Row]:
    """Rows of words that nobody chose, each once: the same for the same seed."""
    draw = random.Random(seed)  # noqa: S311  (words, not secrets)
    letters = "abcdefghijklmnopqrstuvwxyzABCDEXYZ0189éßñжд猫-'"

    def word() -> str:
        return draw.choice(WORDS) + "".join(draw.choices(letters, k=draw.randint(1, 7)))

    rows = []
    for _ in range(count):
        words = [word() for _ in range(draw.randint(2, 5))]
        if scope is Scope.PAIR:
            rows.append(Row(words[0], words[1:]))
        else:
            rows.append(last_row([f" {each}" for each in words]))
    return rows
