"""Checks of what a cache makes of scores: bits, merging, what it refuses, all or nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from attrs import evolve

from llmattn.cache.protocol import FileCache
from llmattn.identity import Identity
from llmattn.rows import Row
from llmattn.testing.cache_subject import (
    ONE,
    TEXTS,
    THREE,
    CacheSubject,
    Opened,
    scores_for,
    text_row,
    told,
)
from llmattn.testing.findings import fail, shown
from llmattn.usage import Usage

__all__ = [
    "check_closing",
    "check_compacting",
    "check_interrupted_put",
    "check_merging",
    "check_refusals",
    "check_scores_bit_by_bit",
]


def check_scores_bit_by_bit(subject: CacheSubject) -> None:
    """Every number of float16 in [0, 1] comes back, in every channel, for its own key."""
    halves = np.arange(0x3C01, dtype=np.uint16).view(np.float16).astype(np.float32)
    odd = np.array([1 / 3, 0.1, 1 - 2**-12, 2**-25, 0.30004883], np.float32)
    every = np.concatenate([halves, odd])
    words = [f"k{n}" for n in range(len(every))]
    row = Row("every", words)
    where = "shapes-and-numbers"
    with subject.new() as cache:
        cache.put(ONE, [row], [every[None]])
        done = f"A row of {len(words)} keys was put, with every number of float16 in [0, 1]"
        cache.expect(ONE, [row], [every[None]], done, "each number as float16 rounds it", where)
        turned = Row("every", words[::-1])
        done = "The keys of a row were asked in another order than they were put"
        wanted = "scores in the order of the keys that are asked"
        cache.expect(ONE, [turned], [every[None, ::-1]], done, wanted, where)
        three = Row("q", ("z", "a", "m", "b"))
        values = np.array([[0.5, 0.25, 0.75, 1], [0, 0.125, 0.375, 0.875], [0.1, 0.2, 0.3, 0.4]])
        cache.put(THREE, [three], [values])
        done, wanted = "A row of three channels was put", "each channel's own scores"
        cache.expect(THREE, [three], [values], done, wanted, where)
        twice = Row("q", ("a", "z", "a", "unknown"))
        right = np.column_stack([values[:, 1], values[:, 0], values[:, 1], [np.nan] * 3])
        done = "A key was asked twice in a row, and one that is not known"
        cache.expect(THREE, [twice, twice], [right, right], done, "its score twice, and NaN", where)
        cache.get(THREE, [three])[0][:] = 0
        found = cache.cache.get(THREE, [three])[0]
        if found.flags.writeable:
            found[:] = 0
        done = "What get() gave was changed by who asked"
        cache.expect(THREE, [three], [values], done, "an array of its own for each call", where)
        text = text_row("the", " cat", " the", " cat")
        values = np.array([[0.5, 0.25, 0.75, 1], [0, 0.125, 0.375, 0.875]])
        cache.put(TEXTS, [text], [values])
        done = "A text with words that occur twice was put, in two channels"
        wanted = "a score for each position, not for each word"
        cache.expect(TEXTS, [text], [values], done, wanted, where)


def check_merging(subject: CacheSubject) -> None:
    """A later put adds to a row and replaces its scores; NaN changes nothing."""
    nan, where = np.nan, "merging"
    rows = [Row("q", ("a", "b")), Row("q", ("b", "c")), Row("q", ("a", "b", "c", "d"))]
    with subject.new() as cache:
        cache.put(ONE, rows[:1], [[[0.25, 0.5]]])
        cache.put(ONE, rows[1:2], [[[0.75, 1]]])
        done, wanted = (
            "Two rows of one query were put, the second with another key",
            "both rows' keys",
        )
        cache.expect(ONE, rows[2:], [[[0.25, 0.75, 1, nan]]], done, wanted, where)
        cache.put(ONE, rows[2:], [[[nan, nan, 0.5, nan]]])
        done, wanted = "A row was put in which some scores are NaN", "what was known before"
        cache.expect(ONE, rows[2:], [[[0.25, 0.75, 0.5, nan]]], done, wanted, where)
        same = [Row("two", ("x", "y")), Row("other", ("x",)), Row("two", ("y", "z"))]
        cache.put(ONE, same, [[[0.1, 0.2]], [[0.9]], [[0.3, 0.4]]])
        done = "One put held two rows of the same query"
        row, wanted = [Row("two", ("x", "y", "z"))], "both, the later score where both have one"
        cache.expect(ONE, row, [[[0.1, 0.3, 0.4]]], done, wanted, where)
        cache.put(ONE, [Row("k", ("a", "b", "a"))], [[[0.1, 0.2, 0.3]]])
        done, wanted = "One row held a key twice", "the later score"
        cache.expect(ONE, [Row("k", ("a", "b"))], [[[0.3, 0.2]]], done, wanted, where)
        torn = [Row("torn", ("a", "b"))]
        cache.put(THREE, torn, [[[0.5, nan], [0.5, 0.5], [0.5, 0.5]]])
        done = "A pair was put of which one channel is NaN"
        right = [[[0.5, nan]] * 3]
        cache.expect(
            THREE, torn, right, done, "a pair that is not kept: NaN in all channels", where
        )
        cache.put(THREE, torn, [[[nan, nan], [0.25, nan], [0.25, nan]]])
        right = [[[0.5, nan]] * 3]
        cache.expect(THREE, torn, right, done, "the scores that were known before", where)
        texts = [text_row("a", "b", "c"), text_row("a", "b", "c")]
        cache.put(TEXTS, texts[:1], [[[0.5, nan, 0.25], [0.5, nan, 0.25]]])
        cache.put(TEXTS, texts[1:], [[[nan, 1, 0.75], [nan, 1, 0.75]]])
        done, wanted = "A text was put twice, with other positions known", "all that is known of it"
        cache.expect(TEXTS, texts[:1], [[[0.5, 1, 0.75]] * 2], done, wanted, where)
        cache.put(TEXTS, texts, [[[0.1, 0.2, 0.3]] * 2, [[0.4, nan, 0.6]] * 2])
        done, wanted = "One put held a text twice", "the later score of each position"
        cache.expect(TEXTS, texts[:1], [[[0.4, 0.2, 0.6]] * 2], done, wanted, where)
        counts = [(info.namespace, info.rows, info.pairs) for info in cache.namespaces()]
        cache.put(ONE, rows[:1], [[[0.25, 0.75]]])
        cache.put(TEXTS, texts[:1], [[[0.4, 0.2, 0.6]] * 2])
        again = [(info.namespace, info.rows, info.pairs) for info in cache.namespaces()]
        if again != counts:
            came = f"namespaces() counts {again}, and counted {counts}"
            fail("What is there was put again", came, "the same numbers of rows and pairs", where)
        _whole_scan(cache, ONE, 5, 12)


def _whole_scan(cache: Opened, identity: Identity, rows: int, pairs: int) -> None:
    found = cache.scan(identity.namespace)
    info = next((i for i in cache.namespaces() if i.namespace == identity.namespace), None)
    queries = [row.query for row, _ in found]
    if len(set(queries)) != len(queries):
        fail(
            "scan() was read", "a row came twice", "each row once, with all its keys", "reading-all"
        )
    counted = (info.rows, info.pairs) if info else (0, 0)
    scanned = (len(found), sum(len(row.keys) for row, _ in found))
    if counted != scanned:
        came = (
            f"namespaces() counts {counted[0]} rows of {counted[1]} pairs, scan() gives {scanned}"
        )
        fail("Rows were put", came, "the same numbers", "reading-all")


def _refused() -> Iterator[tuple[str, Identity, Any, Any]]:
    pair, text = Row("q", ("a", "b")), text_row("a", "b")
    yield "scores for one key too few", ONE, [pair], [[[0.5]]]
    yield "scores for one key too many", ONE, [pair], [[[0.5] * 3]]
    yield "scores without channels", ONE, [pair], [[0.5, 0.5]]
    yield "scores of two channels where there is one", ONE, [pair], [[[0.5] * 2] * 2]
    yield "scores of one channel where there are three", THREE, [pair], [[[0.5] * 2]]
    yield "scores the wrong way round", ONE, [pair], [[[0.5], [0.5]]]
    yield "an array more than rows", ONE, [pair], [[[0.5] * 2]] * 2
    yield "an array less than rows", ONE, [pair, Row("r", ("a",))], [[[0.5] * 2]]
    for number in (1.5, -0.25, 2, -1, np.inf, -np.inf, 1.001):
        yield f"the score {number}", ONE, [pair], [[[0.5, number]]]
        yield f"the score {number} in a text", TEXTS, [text], [[[0.5, 0.5], [number, 0.5]]]
    yield "a text's first word with two keys", TEXTS, [pair], [[[0.5] * 2] * 2]
    yield "a text's scores for one token too few", TEXTS, [text], [[[0.5], [0.5]]]


def check_refusals(subject: CacheSubject) -> None:
    """Wrong shapes and values are a ValueError, and of such a put nothing is kept."""
    where = "what-put-refuses"
    for what, identity, rows, scores in _refused():
        arrays = [np.array(values, np.float32) for values in scores]
        good = text_row("good", "one") if identity is TEXTS else Row("good", ("one",))
        right = np.full((len(identity.channels), len(good.keys)), 0.5, np.float32)
        with subject.new() as cache:
            done = f"A good row and one with {what} were put"
            try:
                cache.cache.put(identity, [good, *rows], [right, *arrays], Usage(1))
            except ValueError:
                pass
            except Exception as error:
                came = f"{type(error).__name__} was raised: {shown(str(error), 120)}"
                fail(done, came, "ValueError, before anything is stored", where)
            else:
                fail(done, "it was taken", "ValueError, before anything is stored", where)
            nothing = np.full(right.shape, np.nan)
            wanted = "nothing of a put that is refused: all rows, or none"
            cache.expect(identity, [good], [nothing], done, wanted, "all-or-nothing")
            if cache.namespaces():
                fail(done, "its namespace, or its cost, was kept", wanted, "all-or-nothing")


class Interrupted(Exception):
    """Stands for a Ctrl-C."""


class _Breaking(Sequence[Any]):
    """A sequence that breaks off when it is read for the n-th time."""

    def __init__(self, items: Sequence[Any], reads: int) -> None:
        self._items, self.left = items, reads

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return _Breaking(self._items[index], self.left)
        item = self._items[index]  # IndexError ends a loop
        self.left -= 1
        if self.left < 0:
            raise Interrupted
        return item


def check_interrupted_put(subject: CacheSubject) -> None:
    """A put that breaks off in the middle has stored nothing."""
    rows = [Row(f"q{n}", ("a", "b")) for n in range(5)]
    scores = scores_for(ONE, rows)
    nothing = [np.full((1, 2), np.nan)] * 5
    with subject.new() as cache:
        for reads in range(60):
            identity = evolve(ONE, revision=reads + 2)
            try:
                cache.cache.put(identity, _Breaking(rows, reads), scores, Usage(1))
            except Interrupted:
                pass
            except Exception as error:
                came = f"{type(error).__name__} was raised: {shown(str(error), 120)}"
                wanted = "rows that may be any sequence"
                fail("put() was called with a sequence of rows", came, wanted, "all-or-nothing")
            else:
                return
            whole = not any(np.isnan(found).any() for found in cache.get(identity, rows))
            done = f"put() was broken off when it read its rows for the {reads + 1}. time"
            wanted = "all rows in one transaction, or none"
            right = scores if whole else nothing
            cache.expect(identity, rows, right, done, wanted, "all-or-nothing")


def check_closing(subject: CacheSubject) -> None:
    """``close`` may be called twice; what was put is there after opening again."""
    rows = [Row("q", ("a", "b")), Row("r", ("a",))]
    texts = [text_row("a", "b", "c")]
    scores, of_texts = scores_for(ONE, rows), scores_for(TEXTS, texts)
    cache = subject.new()
    cache.put(ONE, rows, scores, Usage(1, 2, 3, 0.5))
    cache.put(TEXTS, texts, of_texts)
    cache.close()
    if subject.persistent:
        cache.reopen()
        done = "The cache was closed and opened again"
        cache.expect(ONE, rows, scores, done, "what was put before", "durability")
        cache.expect(TEXTS, texts, of_texts, done, "what was put before", "durability")
        cache.close()
    cache.close()


def check_compacting(subject: CacheSubject) -> None:
    """A ``FileCache`` is compacted without losing anything."""
    rows = [Row(f"q{n}", ("a", "b")) for n in range(50)]
    with subject.new() as cache:
        if not isinstance(cache.cache, FileCache):
            return
        cache.put(ONE, rows, scores_for(ONE, rows))
        sizes = told("compact() was called", cache.cache.compact)
        if len(sizes) != 2 or min(sizes) <= 0:
            fail("compact() was called", f"{sizes} came", "the sizes before and after", "files")
        done, wanted = "The file was compacted", "every score"
        cache.expect(ONE, rows, scores_for(ONE, rows), done, wanted, "files")
