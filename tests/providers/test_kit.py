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
        (WrongShape, "have shapes"),
        (OutOfRange, r"outside \[0, 1\]"),
        (Forgetful, "another instance"),
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
        return np.full((1, len(row.keys)), 0.5 if "bowlx" in self.words else 0.25, np.float32)


def test_a_provider_that_sees_the_future_is_found_out() -> None:
    with pytest.raises(AssertionError, match="another word after the query"):
        check_provider(SeesTheFuture)


def test_an_exception_that_is_none_of_ours_is_found_out() -> None:
    with pytest.raises(AssertionError, match=r"raise OSError: .*; it should be a ProviderError"):
        check_faults(_Unwrapped)


class _Unwrapped(Sound):
    def __init__(self, url: str) -> None:
        self.url = url

    async def score(self, rows: Sequence[Row]) -> Reply:
        raise OSError(self.url)
