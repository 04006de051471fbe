"""The tests that a score cache has to pass: random calls, compared with a dictionary; and what
one in a file does about damage.

Needs hypothesis. A plugin's author calls :func:`check_cache` in a test, and if the cache is a
``FileCache``, :func:`check_file_cache` in another.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from llmattn.cache.bulk import load_pairs
from llmattn.cache.protocol import FileCache, ScoreCache
from llmattn.errors import CacheError
from llmattn.identity import Identity
from llmattn.rows import Row, Scope, Scores
from llmattn.usage import Usage

__all__ = ["check_cache", "check_file_cache"]

Opener = Callable[[], ScoreCache]
Known = dict[tuple[str, ...], dict[Any, tuple[float, ...]]]
"""By the words that name a row: a tuple with the query, or the whole text; then by key."""

_ODD_WORDS = ["", " ", "\x00", "é", "\u2028", "😀", "\ud800", "w" * 700, "a b", ":q:"]
_WORDS = [*"abcdefgh", *[word for word in _ODD_WORDS if word]]
_IDENTITIES = [
    Identity("one", 1, Scope.PAIR, ("only",), {"model": "m"}),
    Identity("one", 1, Scope.PAIR, ("only",), {"model": "n"}),
    Identity("three", 1, Scope.PAIR, ("a", "b", "c")),
    Identity("texts", 1, Scope.PREFIX, ("a", "b")),
]

_words = st.sampled_from(_WORDS)
_score = st.one_of(st.just(math.nan), st.integers(0, 1000).map(lambda n: n / 1000))


@st.composite
def _rows(draw: st.DrawFn) -> tuple[Identity, list[Row], list[Scores]]:
    identity = draw(st.sampled_from(_IDENTITIES))
    rows = []
    for _ in range(draw(st.integers(0, 4))):
        if identity.scope is Scope.PREFIX:
            words = tuple(draw(st.lists(_words, min_size=1, max_size=4)))
            rows.append(Row(words[-1], words, words[:-1]))
        else:
            keys = draw(st.lists(_words, min_size=1, max_size=6))
            rows.append(Row(draw(_words), tuple(keys)))
    scores = [
        np.array([[draw(_score) for _ in row.keys] for _ in identity.channels], np.float32)
        for row in rows
    ]
    return identity, rows, scores


def check_cache(
    fresh: Callable[[], Opener], *, persistent: bool = True, examples: int = 60, steps: int = 25
) -> None:
    """Raise AssertionError unless the cache does what ``ScoreCache`` says.

    ``fresh``: called before each example; returns a function that opens the same empty store
    each time it is called. ``persistent``: what was put is still there after closing and
    opening again. A ``FileCache`` is compacted now and then.
    """

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.open = fresh()
            self.cache = self.open()
            self.known: dict[Identity, Known] = {}
            self.usage: dict[Identity, Usage] = {}

        @rule(data=_rows(), requests=st.integers(0, 2))
        def put(self, data: tuple[Identity, list[Row], list[Scores]], requests: int) -> None:
            identity, rows, scores = data
            usage = Usage(requests=requests, prompt_tokens=3 * requests)
            self.cache.put(identity, rows, scores, usage)
            for row, values in zip(rows, scores, strict=True):
                for place, score in _finite(identity, row, values):
                    known = self.known.setdefault(identity, {})
                    known.setdefault(_name(identity, row), {})[place] = score
            if requests:
                self.known.setdefault(identity, {})
            self.usage[identity] = self.usage.get(identity, Usage()) + usage

        @rule(data=_rows())
        def get(self, data: tuple[Identity, list[Row], list[Scores]]) -> None:
            identity, rows, _ = data
            for row, values in zip(rows, self.cache.get(identity, rows), strict=True):
                assert values.dtype == np.float32
                expected = [
                    self.known.get(identity, {})
                    .get(_name(identity, row), {})
                    .get(place, (math.nan,) * len(identity.channels))
                    for place in _places(identity, row)
                ]
                np.testing.assert_array_equal(values, np.array(expected, np.float32).T)

        @rule(identity=st.sampled_from(_IDENTITIES))
        def scan(self, identity: Identity) -> None:
            found: Known = {}
            for row, values in self.cache.scan(identity.namespace):
                name = _name(identity, row)
                assert name not in found, "a row came twice"
                found[name] = dict(_finite(identity, row, values))
            assert found == self.known.get(identity, {})

        @rule()
        def namespaces(self) -> None:
            listed = {info.identity: info for info in self.cache.namespaces()}
            assert set(listed) == set(self.known)
            for identity, info in listed.items():
                assert info.namespace == identity.namespace
                assert info.rows == len(self.known[identity])
                assert info.usage == self.usage[identity]
                assert info.created <= info.updated
                if identity.scope is Scope.PAIR:
                    assert info.pairs == sum(map(len, self.known[identity].values()))

        @rule(identity=st.sampled_from(_IDENTITIES))
        def purge(self, identity: Identity) -> None:
            self.cache.purge(identity.namespace)
            self.known.pop(identity, None)
            self.usage.pop(identity, None)

        @rule(identity=st.sampled_from(_IDENTITIES[:3]), words=st.sets(_words))
        def pairs(self, identity: Identity, words: set[str]) -> None:
            vocabulary = sorted(words)
            queries, keys, scores = load_pairs(self.cache, identity, vocabulary)
            assert scores.dtype == np.float16
            found = {
                (vocabulary[q], vocabulary[k]): tuple(map(float, values))
                for q, k, values in zip(queries, keys, scores.T, strict=True)
            }
            assert len(found) == len(queries)
            assert found == {
                (query, key): score
                for (query,), row in self.known.get(identity, {}).items()
                for key, score in row.items()
                if query in words and key in words
            }

        @precondition(lambda self: isinstance(self.cache, FileCache))
        @rule()
        def compact(self) -> None:
            assert isinstance(self.cache, FileCache)
            before, after = self.cache.compact()
            assert before > 0
            assert after > 0

        @precondition(lambda self: persistent)
        @rule()
        def reopen(self) -> None:
            self.cache.close()
            self.cache = self.open()

        def teardown(self) -> None:
            self.cache.close()
            self.cache.close()

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )


def check_file_cache(kind: Any, settings: object) -> None:
    """Raise AssertionError unless the file of a cache does what ``FileCache`` says.

    ``kind``: the class that is registered. ``settings``: those of a cache that is not there yet.
    """
    of_a_file = isinstance(kind, FileCache)
    assert of_a_file, "the class lacks path, compact, locate or verify"
    file = kind.locate(settings)
    assert not file.exists(), "looking for the file has made it"
    try:
        kind.verify(settings)
    except CacheError:
        pass
    else:
        raise AssertionError("verifying what is not there is no CacheError")
    identity, gone = _IDENTITIES[0], _IDENTITIES[1]
    rows = [Row(f"query {n}", [f"key {n + k}" for k in range(20)]) for n in range(400)]
    scores = [np.full((1, 20), n / 512, np.float32) for n in range(400)]
    cache: Any = kind(settings)
    assert cache.path.samefile(file)
    cache.put(identity, rows, scores)
    cache.put(gone, rows, scores)
    cache.purge(gone.namespace)
    before, after = cache.compact()
    assert after < before, "the room of what was purged is not given back"
    np.testing.assert_array_equal(cache.get(identity, rows), scores)
    cache.close()
    report = kind.verify(settings)
    assert report.path.samefile(file)
    assert (report.problems, report.kept_copy) == ([], None)
    damaged = bytearray(file.read_bytes())
    middle = slice(len(damaged) // 3, len(damaged) // 2)
    damaged[middle] = b"\xa5" * (middle.stop - middle.start)
    file.write_bytes(damaged)
    report = kind.verify(settings)
    assert report.problems, "damage is not found"
    assert report.kept_copy is None
    assert file.read_bytes() == damaged, "looking has changed the file"
    report = kind.verify(settings, drop=True)
    assert report.kept_copy is not None
    assert report.kept_copy.read_bytes() == damaged, "what was damaged is not kept"
    assert not kind.verify(settings).problems, "damage is left"
    cache = kind(settings)
    for found, was in zip(cache.get(identity, rows), scores, strict=True):
        known = ~np.isnan(found)
        np.testing.assert_array_equal(found[known], was[known])
    cache.put(identity, rows, scores)
    np.testing.assert_array_equal(cache.get(identity, rows), scores)
    cache.close()


def _name(identity: Identity, row: Row) -> tuple[str, ...]:
    return (*row.context, row.query) if identity.scope is Scope.PREFIX else (row.query,)


def _places(identity: Identity, row: Row) -> list[Any]:
    return list(range(len(row.keys))) if identity.scope is Scope.PREFIX else list(row.keys)


def _finite(identity: Identity, row: Row, scores: Scores) -> list[tuple[Any, tuple[float, ...]]]:
    """Where scores are known in all channels, and the scores as float16 keeps them."""
    halves = scores.astype(np.float16)
    return [
        (place, tuple(map(float, halves[:, i])))
        for i, place in enumerate(_places(identity, row))
        if not np.isnan(halves[:, i]).any()
    ]
