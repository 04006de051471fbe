"""Random calls of a cache, compared with a dictionary: what no fixed case has thought of."""

from __future__ import annotations

import math
from typing import Any, ClassVar
from unittest import mock

import numpy as np
from hypothesis import HealthCheck, seed, settings
from hypothesis import strategies as st
from hypothesis.internal.conjecture import engine
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from llmattn.identity import Identity
from llmattn.rows import Row, Scope, Scores
from llmattn.testing.cache_subject import IDENTITIES, CacheSubject
from llmattn.testing.findings import CheckFailed, fail, shown
from llmattn.usage import Usage

__all__ = ["check_random_calls"]

Known = dict[tuple[str, ...], dict[Any, tuple[float, ...]]]
"""By the words that name a row: a tuple with the query, or the whole text; then by key."""

_SHRINKING = 8
"""Seconds in which a series of calls that fails is made shorter."""

_ODD_WORDS = [" ", "\x00", "é", "\u2028", "😀", "\ud800", "w" * 700, "a b", ":q:"]
_words = st.sampled_from([*"abcdefgh", *_ODD_WORDS])
_score = st.one_of(st.just(math.nan), st.integers(0, 1000).map(lambda n: n / 1000))
_WHERE = "a-dictionary"


@st.composite
def _rows(draw: st.DrawFn) -> tuple[Identity, list[Row], list[Scores]]:
    identity = draw(st.sampled_from(IDENTITIES))
    rows = []
    for _ in range(draw(st.integers(0, 4))):
        if identity.scope is Scope.PREFIX:
            words = tuple(draw(st.lists(_words, min_size=1, max_size=4)))
            rows.append(Row(words[-1], words, words[:-1]))
        else:
            rows.append(Row(draw(_words), tuple(draw(st.lists(_words, min_size=1, max_size=6)))))
    scores = [
        np.array([[draw(_score) for _ in row.keys] for _ in identity.channels], np.float32)
        for row in rows
    ]
    return identity, rows, scores


class _Machine(RuleBasedStateMachine):
    subject: ClassVar[CacheSubject]

    def __init__(self) -> None:
        super().__init__()
        self.cache = self.subject.new()
        self.known: dict[Identity, Known] = {}
        self.usage: dict[Identity, Usage] = {}
        self.calls: list[str] = []

    @property
    def done(self) -> str:
        return f"Random calls were made (seed {self.subject.seed}): {', '.join(self.calls[-12:])}"

    @rule(data=_rows(), requests=st.integers(0, 2))
    def put(self, data: tuple[Identity, list[Row], list[Scores]], requests: int) -> None:
        identity, rows, scores = data
        usage = Usage(requests=requests, prompt_tokens=3 * requests)
        given = [
            (row.query, row.keys, values.tolist()) for row, values in zip(rows, scores, strict=True)
        ]
        self.calls.append(f"put of {shown(given, 200)} under {identity.provider!r}")
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
        nothing = (math.nan,) * len(identity.channels)
        known = self.known.get(identity, {})
        right = [
            np.array(
                [
                    known.get(_name(identity, row), {}).get(place, nothing)
                    for place in _places(identity, row)
                ]
            ).T
            for row in rows
        ]
        wanted = "what the last put of each key said"
        self.cache.expect(identity, rows, right, self.done, wanted, _WHERE)

    @rule(identity=st.sampled_from(IDENTITIES))
    def scan(self, identity: Identity) -> None:
        scanned = self.cache.scan(identity.namespace)
        found = {
            _name(identity, row): dict(_finite(identity, row, values)) for row, values in scanned
        }
        if found != self.known.get(identity, {}) or len(found) != len(scanned):
            came = f"scan() gives {shown(found, 200)}"
            fail(self.done, came, shown(self.known.get(identity, {}), 200), _WHERE)

    @rule()
    def namespaces(self) -> None:
        listed = {info.identity: info for info in self.cache.namespaces()}
        if set(listed) != set(self.known):
            names = sorted(identity.provider for identity in listed)
            wanted = f"{sorted(identity.provider for identity in self.known)}"
            fail(self.done, f"namespaces() gives {names}", wanted, _WHERE)
        for identity, info in listed.items():
            counted = (info.rows, info.usage)
            right = (len(self.known[identity]), self.usage[identity])
            if identity.scope is Scope.PAIR:
                counted = (*counted, info.pairs)  # type: ignore[assignment]
                right = (*right, sum(map(len, self.known[identity].values())))  # type: ignore[assignment]
            if counted != right:
                came = f"namespaces() says rows, cost and pairs of {identity.provider!r}: {counted}"
                fail(self.done, came, str(right), _WHERE)

    @rule(identity=st.sampled_from(IDENTITIES))
    def purge(self, identity: Identity) -> None:
        self.calls.append(f"purge of {identity.provider!r}")
        self.cache.purge(identity.namespace)
        self.known.pop(identity, None)
        self.usage.pop(identity, None)

    @precondition(lambda self: self.subject.persistent)
    @rule()
    def reopen(self) -> None:
        self.calls.append("reopened")
        self.cache.reopen()

    def teardown(self) -> None:
        self.cache.close()


def check_random_calls(subject: CacheSubject) -> None:
    """Random puts and reads give what a dictionary gives. The same each time, by their seed."""

    class Machine(_Machine):
        pass

    Machine.subject = subject
    run = settings(
        max_examples=subject.examples,
        stateful_step_count=subject.steps,
        deadline=None,
        database=None,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),
    )
    try:
        # No setting of hypothesis ends shrinking sooner.
        with mock.patch.object(engine, "MAX_SHRINKING_SECONDS", _SHRINKING):
            run_state_machine_as_test(seed(subject.seed)(Machine), settings=run)
    except CheckFailed as found:
        raise CheckFailed(str(found)) from None


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
