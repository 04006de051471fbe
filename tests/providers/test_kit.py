"""The kit for plugin authors finds what is wrong with a provider."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from llmattn.identity import Identity
from llmattn.providers.protocol import Limits, Reply
from llmattn.rows import Row, Scope
from llmattn.testing.providers import check_faults, check_provider

_numbers = itertools.count()


class Sound:
    """Scores a word by its length; the faulty ones below differ in one thing each."""

    scope = Scope.PAIR
    channels: tuple[str, ...] = ("length",)
    limits = Limits(pairs_per_request=40, rows_per_request=4)

    def identity(self) -> Identity:
        return Identity("sound", 1, self.scope, self.channels, {"url": "http://host"})

    async def score(self, rows: Sequence[Row]) -> Reply:
        return Reply([self.one(row, rows) for row in rows])

    def one(self, row: Row, rows: Sequence[Row]) -> Any:
        return np.array([[1 / len(key) for key in row.keys]], np.float32)

    async def aclose(self) -> None:
        pass


class SoundPrefix(Sound):
    scope = Scope.PREFIX


class NoChannels(Sound):
    channels = ()

    def identity(self) -> Identity:
        return Identity("sound", 1, self.scope, ("length",))


class OtherIdentityEachTime(Sound):
    def identity(self) -> Identity:
        return Identity("sound", next(_numbers), self.scope, self.channels)


class ShowsItsKey(Sound):
    def identity(self) -> Identity:
        return Identity("sound", 1, self.scope, self.channels, {"key": "secret-key"})


class WrongShape(Sound):
    def one(self, row: Row, rows: Sequence[Row]) -> Any:
        return np.zeros(len(row.keys), np.float32)


class OutOfRange(Sound):
    def one(self, row: Row, rows: Sequence[Row]) -> Any:
        return np.array([[len(key) for key in row.keys]], np.float32)


class Forgetful(Sound):
    def one(self, row: Row, rows: Sequence[Row]) -> Any:
        return np.full((1, len(row.keys)), 1 / (1 + next(_numbers)), np.float32)


class SeesItsNeighbours(Sound):
    def one(self, row: Row, rows: Sequence[Row]) -> Any:
        return np.full((1, len(row.keys)), 1 / len(rows), np.float32)


def test_a_sound_provider_passes() -> None:
    check_provider(Sound)


def test_a_sound_provider_of_contextual_scores_passes() -> None:
    check_provider(SoundPrefix)


def test_a_sampling_model_need_not_repeat_itself() -> None:
    check_provider(Forgetful, deterministic=False)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (object, "lacks a member"),
        (NoChannels, "at least one channel"),
        (OtherIdentityEachTime, "different identities"),
        (ShowsItsKey, "shows a secret"),
        (WrongShape, "have the shape"),
        (OutOfRange, r"outside \[0, 1\]"),
        (Forgetful, "changes the score"),
        (SeesItsNeighbours, "in another order|without the others"),
    ],
)
def test_a_faulty_provider_is_found_out(make: Any, words: str) -> None:
    with pytest.raises(AssertionError, match=words):
        check_provider(make, secrets=["secret-key"])


class SeesTheFuture(Sound):
    """Scores depend on every word that was ever asked, as a model over a whole text has them."""

    scope = Scope.PREFIX

    def __init__(self) -> None:
        self.words: set[str] = set()

    def one(self, row: Row, rows: Sequence[Row]) -> Any:
        self.words.update(row.keys)
        return np.full((1, len(row.keys)), 0.5 if " bananas" in self.words else 0.25, np.float32)


def test_a_provider_that_sees_the_future_is_found_out() -> None:
    with pytest.raises(AssertionError, match="changes the score"):
        check_provider(SeesTheFuture)


class ReadsTheWholeSentence(Sound):
    """Says that it keeps later words from earlier rows, and looks at the longest text."""

    scope = Scope.PREFIX
    limits = Limits(nested_rows=True)

    def one(self, row: Row, rows: Sequence[Row]) -> Any:
        whole = max((r.keys for r in rows if r.keys[: len(row.keys)] == row.keys), key=len)
        return np.full((1, len(row.keys)), 1 / len("".join(whole)), np.float32)


class ReadsEachBeginning(ReadsTheWholeSentence):
    """The same without that."""

    def one(self, row: Row, rows: Sequence[Row]) -> Any:
        return np.full((1, len(row.keys)), 1 / len("".join(row.keys)), np.float32)


def test_a_provider_that_was_shown_the_whole_sentence_is_found_out() -> None:
    with pytest.raises(AssertionError, match="changes the score"):
        check_provider(ReadsTheWholeSentence)


def test_a_provider_that_keeps_later_words_from_earlier_rows_of_its_request_passes() -> None:
    check_provider(ReadsEachBeginning)


class LooksOneWordAhead(ReadsTheWholeSentence):
    """Cheats only for rows that stand before the last one of their text."""

    def one(self, row: Row, rows: Sequence[Row]) -> Any:
        length = len(row.keys)
        following = {
            r.keys[length] for r in rows if len(r.keys) > length and r.context[:length] == row.keys
        }
        value = 0.5 if any("'" in word or "s" in word for word in following) else 0.25
        return np.full((1, length), value, np.float32)


def test_a_provider_that_looks_one_word_ahead_is_found_out() -> None:
    with pytest.raises(AssertionError, match="changes the score"):
        check_provider(LooksOneWordAhead)


class LooksIntoTheNextWindow(ReadsTheWholeSentence):
    """Lets texts of its request into each other's scores unless they begin alike."""

    def one(self, row: Row, rows: Sequence[Row]) -> Any:
        others = {r.keys[0] for r in rows if r.keys[0] != row.keys[0]}
        return np.full((1, len(row.keys)), 1 / (1 + len("".join(others))), np.float32)


def test_a_provider_that_sees_the_window_after_is_found_out() -> None:
    with pytest.raises(AssertionError, match="changes the score"):
        check_provider(LooksIntoTheNextWindow)


class Rounds(Sound):
    """Sums that depend in their last digits on what is computed together."""

    def one(self, row: Row, rows: Sequence[Row]) -> Any:
        return np.full((1, len(row.keys)), 0.5 + 1e-6 * len(rows), np.float32)


def test_rounding_passes_within_a_tolerance_that_is_stated() -> None:
    check_provider(Rounds, tolerance=1e-4)
    with pytest.raises(AssertionError, match="changes the score"):
        check_provider(Rounds)


def test_an_exception_that_is_none_of_ours_is_found_out() -> None:
    with pytest.raises(AssertionError, match=r"raise OSError: .*it should be a ProviderError"):
        check_faults(_Unwrapped)


class _Unwrapped(Sound):
    def __init__(self, url: str) -> None:
        self.url = url

    async def score(self, rows: Sequence[Row]) -> Reply:
        raise OSError(self.url)
