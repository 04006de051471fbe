"""A cache under examination, each call of which is looked at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from attrs import define, evolve

from llmattn.cache.protocol import NamespaceInfo, ScoreCache
from llmattn.errors import LlmattnError
from llmattn.identity import Identity
from llmattn.rows import Row, Scope, Scores
from llmattn.testing.findings import CheckFailed, fail, shown
from llmattn.usage import Usage

__all__ = [
    "IDENTITIES",
    "ONE",
    "TEXTS",
    "THREE",
    "CacheSubject",
    "Opened",
    "Opener",
    "scores_for",
    "text_row",
    "told",
]

Opener = Callable[[], ScoreCache]

ONE = Identity("one", 1, Scope.PAIR, ("only",), {"model": "m"})
THREE = Identity("three", 1, Scope.PAIR, ("a", "b", "c"))
TEXTS = Identity("texts", 1, Scope.PREFIX, ("a", "b"))
IDENTITIES = (ONE, evolve(ONE, details={"model": "n"}), THREE, TEXTS)


@define(eq=False)
class CacheSubject:
    """A cache under examination. ``fresh`` makes an empty store, and gives what opens it."""

    fresh: Callable[[], Opener]
    persistent: bool = True
    patience: float = 30.0
    seed: int = 0
    examples: int = 60
    steps: int = 25

    def new(self) -> Opened:
        """An empty cache, open."""
        return Opened(self.fresh())


class Opened:
    """A cache, each call of which is looked at: an exception that is none of ours is a finding."""

    def __init__(self, opener: Opener) -> None:
        self.opener = opener
        self.cache = told("The cache was opened", opener)

    def __enter__(self) -> Opened:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def reopen(self) -> None:
        self.close()
        self.cache = told("The cache was opened again", self.opener)

    def close(self) -> None:
        told("close() was called", self.cache.close)

    def put(
        self,
        identity: Identity,
        rows: Sequence[Row],
        scores: Sequence[Any],
        usage: Usage = Usage(),
    ) -> None:
        given = [np.array(values, np.float32) for values in scores]
        done = f"put() was called with {_few(rows)}"
        told(done, lambda: self.cache.put(identity, rows, given, usage))
        for values in given:
            values[:] = 0.125  # the caller goes on with its arrays

    def get(self, identity: Identity, rows: Sequence[Row]) -> list[Scores]:
        done = f"get() was called with {_few(rows)}"
        found = told(done, lambda: self.cache.get(identity, rows))
        if not isinstance(found, list) or len(found) != len(rows):
            fail(done, f"{shown(found)} came", "a list with an array a row", "shapes-and-numbers")
        for row, values in zip(rows, found, strict=True):
            shape = (len(identity.channels), len(row.keys))
            if values.dtype != np.float32 or values.shape != shape:
                came = f"an array of {values.dtype} of the shape {values.shape} came"
                wanted = f"float32 of the shape (channels, keys), here {shape}"
                fail(done, came, wanted, "shapes-and-numbers")
        return [values.copy() for values in found]

    def scan(self, namespace: str) -> list[tuple[Row, Scores]]:
        found: list[tuple[Row, Scores]]
        found = told("scan() was read", lambda: list(self.cache.scan(namespace)))
        return found

    def namespaces(self) -> list[NamespaceInfo]:
        found: list[NamespaceInfo] = told("namespaces() was called", self.cache.namespaces)
        return found

    def purge(self, namespace: str) -> None:
        told("purge() was called", lambda: self.cache.purge(namespace))

    def expect(
        self,
        identity: Identity,
        rows: Sequence[Row],
        scores: Sequence[Any],
        done: str,
        wanted: str,
        where: str,
    ) -> None:
        """Raise CheckFailed unless ``get`` gives these scores, NaN where unknown."""
        for row, found, was in zip(rows, self.get(identity, rows), scores, strict=True):
            right = np.array(was, np.float16).astype(np.float32)
            if not np.array_equal(found, right, equal_nan=True):
                channel, key = np.argwhere((found != right) & ~(np.isnan(found) & np.isnan(right)))[
                    0
                ]
                fail(
                    done,
                    f"get() of {shown(row.query, 40)} gives {found[channel, key]:.6g} for its key "
                    f"{shown(row.keys[key], 40)} in channel {identity.channels[channel]!r}, and "
                    f"{right[channel, key]:.6g} is right",
                    wanted,
                    where,
                )


def _few(rows: Sequence[Row]) -> str:
    return f"{len(rows)} rows" + (f", the first of {shown(rows[0].query, 30)}" if rows else "")


def told(done: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except CheckFailed:
        raise
    except Exception as error:
        ours = isinstance(error, LlmattnError)
        wanted = "that it works" if ours else "that it works, or CacheError where the store fails"
        came = f"{type(error).__name__} was raised: {shown(str(error), 160)}"
        fail(done, came, wanted, "errors-of-a-cache")


def scores_for(identity: Identity, rows: Sequence[Row], salt: int = 0) -> list[Scores]:
    """Scores that float16 keeps exactly, others for each row, key, channel and ``salt``."""
    numbers = np.random.default_rng([salt, 7])
    shapes = [(len(identity.channels), len(row.keys)) for row in rows]
    return [(numbers.integers(1, 1025, shape) / 1024).astype(np.float32) for shape in shapes]


def text_row(*words: str) -> Row:
    """The row of the last word of a text."""
    return Row(words[-1], words, words[:-1])
