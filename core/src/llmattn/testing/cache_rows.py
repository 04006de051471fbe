"""Checks of what a cache keeps apart, and of how it gives all that it has."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Sequence

import numpy as np
from attrs import evolve

from llmattn.cache.bulk import load_pairs
from llmattn.cache.protocol import BulkCache
from llmattn.identity import Identity
from llmattn.rows import Row, Scope
from llmattn.testing.cache_subject import (
    IDENTITIES,
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
    "check_large_puts",
    "check_namespaces_apart",
    "check_purging",
    "check_reading_all",
    "check_texts_apart",
    "check_words_apart",
]

_COMPOSED = ("é", "한", "Å", "ﬁ", "²", "１", "Ω")
_LETTERS = "a A e E É I ı İ fi ß ss SS 2 02 2.0 2e0 1 +1 -0 0 00 null None nan NaN true 😀 😁 w"
_MARKS = r"""'' ' " "" \ \\ % _ * ? a% a_ a* [a] {a} ["a"] , a,b a:b a/b a|b b\a :q: $a ;-- a."""
_SPACES = ("a ", " a", "  a", "\ta", "a\n", "a\r", "\u00a0a", "a\u200b", "\ufeffa", "a b", "a  b")
_CONTROLS = ("\x00", "a\x00", "a\x00b", "a\x1f", "\x1f", "\u2028", "\ud800", "\ud801", "\ufffd")
_LONG = (*("w" * n for n in (255, 256, 511, 512, 700, 701)), f"{'w' * 699}x", f"x{'w' * 699}")
CONFUSABLE = (
    *_COMPOSED,
    *(unicodedata.normalize("NFD", word) for word in _COMPOSED[:3]),
    *_LETTERS.split(),
    *_MARKS.split(),
    *_SPACES,
    *_CONTROLS,
    *_LONG,
)
"""Words that are one to who folds case, trims, normalises, reads numbers, or cuts."""


def check_words_apart(subject: CacheSubject) -> None:
    """Words that differ in anything are different words, as queries and as keys; texts too."""
    where = "what-is-a-word"
    rows = [Row(word, CONFUSABLE) for word in CONFUSABLE]
    scores = scores_for(ONE, rows)
    texts = [text_row("so", word, "end") for word in CONFUSABLE]
    texts += [text_row(word, "end") for word in CONFUSABLE]
    of_texts = scores_for(TEXTS, texts, 1)
    with subject.new() as cache:
        for part in range(0, len(rows), 7):  # in portions, so that later ones meet what is there
            cache.put(ONE, rows[part : part + 7], scores[part : part + 7])
        cache.put(TEXTS, texts, of_texts)
        wanted = "each word its own: case, spaces, accents, figures and length count"
        done = "Words that are alike were put"
        cache.expect(ONE, rows, scores, done, wanted, where)
        cache.expect(
            TEXTS, texts, of_texts, "Texts of words that are alike were put", wanted, where
        )
        found = {row.query: row for row, _ in cache.scan(ONE.namespace)}
        if set(found) != set(CONFUSABLE):
            lost = sorted(set(CONFUSABLE) - set(found))[:3]
            fail(done, f"scan() lacks {shown(lost)}", "each row as it was put", where)


def check_texts_apart(subject: CacheSubject) -> None:
    """Texts that are equal when they are joined, and parts of one another, are different rows."""
    where = "texts"
    texts = [
        text_row("the", "re"),
        Row("there", ("there",)),
        text_row("t", "here"),
        text_row("t", "he", "re"),
        text_row("a", "b", "c"),
        text_row("x", "b", "c"),
        text_row("b", "c"),
        Row("c", ("c",)),
        text_row("c", "c"),
        text_row("c", "b", "a"),
        text_row("a", "c"),
    ]
    for mark in (
        " ",
        "",
        ",",
        "\x1f",
        "\x00",
        "\n",
        "|",
        "\t",
        "\x1e",
        ":",
        "/",
        "', '",
        '", "',
        ";",
    ):
        texts += [
            text_row(f"p{mark}q", "r", "s"),
            text_row("p", f"q{mark}r", "s"),
            text_row("p", "q", f"r{mark}s"),
            text_row(f"p{mark}q{mark}r", "s"),
        ]
    texts = list({row.keys: row for row in texts}.values())
    scores = scores_for(TEXTS, texts)
    with subject.new() as cache:
        cache.put(TEXTS, texts, scores)
        done = "Texts that are equal when they are joined were put"
        cache.expect(TEXTS, texts, scores, done, "a row for each sequence of tokens", where)
        found = {row.keys: values for row, values in cache.scan(TEXTS.namespace)}
        if set(found) != {row.keys for row in texts}:
            fail(done, "scan() gives other rows", "each text, token by token", where)
        for row, values in zip(texts, scores, strict=True):
            if not np.array_equal(found[row.keys], values):
                fail(done, f"scan() gives other scores of {shown(row.keys)}", "its own", where)


def check_namespaces_apart(subject: CacheSubject) -> None:
    """Each identity has its own scores, cost and times; they are listed oldest first."""
    where = "namespaces"
    base = Identity("same", 1, Scope.PAIR, ("only",), {"model": "m", "n": 1})
    others = [
        evolve(base, details={"model": "m", "n": 2}),
        evolve(base, provider="Same"),
        evolve(base, details={"model": "M", "n": 1}),
        base,
        evolve(base, revision=2),
        evolve(base, channels=("other",)),
        evolve(base, details={"model": "m", "n": 1, "more": None}),
        evolve(base, details={"model": "m", "n": "1"}),
    ]
    rows = [Row("q", ("a", "b"))]
    with subject.new() as cache:
        for number, identity in enumerate(others):
            now = time.time()
            while time.time() <= now:
                time.sleep(0.001)
            usage = Usage(1 + number, 10 * number, number, 0.5)
            cache.put(identity, rows, scores_for(identity, rows, number), usage)
        cache.put(others[2], [], [], Usage(2, 5, 7, 0.25))
        cache.put(others[0], rows, scores_for(base, rows, 0), Usage(1))
        for number, identity in enumerate(others):
            done = f"One row was put under {len(others)} identities"
            right = scores_for(identity, rows, number)
            cache.expect(identity, rows, right, done, "the scores of each identity", where)
        _check_infos(cache, others, where)
        if subject.persistent:
            cache.reopen()
            _check_infos(cache, others, where)


def _check_infos(cache: Opened, identities: Sequence[Identity], where: str) -> None:
    done = f"Rows were put under {len(identities)} identities, one after the other"
    infos = cache.namespaces()
    if [info.identity for info in infos] != list(identities):
        order = [shown(info.identity, 60) for info in infos]
        wanted = "all of them, oldest first, each with its identity whole"
        fail(done, f"namespaces() gives {order}", wanted, where)
    for number, info in enumerate(infos):
        usage = Usage(1 + number, 10 * number, number, 0.5)
        usage += {2: Usage(2, 5, 7, 0.25), 0: Usage(1)}.get(number, Usage())
        if info.usage != usage:
            came = f"the cost of the {number + 1}. is {info.usage}, and {usage} was put in all"
            fail(done, came, "the sum of what was put", where)
        right = info.namespace == info.identity.namespace and info.created <= info.updated
        if not right or abs(time.time() - info.updated) > 3600:
            came = f"{shown(info, 160)} came"
            fail(done, came, "its namespace, and when it was made and changed", where)


def check_purging(subject: CacheSubject) -> None:
    """A purged namespace is gone, with its cost; the others are not."""
    where = "namespaces"
    rows = [Row(f"q{n}", [f"k{k}" for k in range(5)]) for n in range(40)]
    texts = [text_row(f"w{n}", "b", "c") for n in range(5)]
    with subject.new() as cache:
        for identity in IDENTITIES:
            given = texts if identity is TEXTS else rows
            cache.put(identity, given, scores_for(identity, given), Usage(3))
        cache.purge("0" * 32)
        for identity in (ONE, TEXTS):
            given = texts if identity is TEXTS else rows
            cache.purge(identity.namespace)
            for _ in range(2 if subject.persistent else 1):
                done = f"The namespace of {identity.provider!r} was purged"
                nothing = [np.full((len(identity.channels), len(r.keys)), np.nan) for r in given]
                cache.expect(identity, given, nothing, done, "nothing that is known", where)
                listed = [info.identity for info in cache.namespaces()]
                if identity in listed or cache.scan(identity.namespace):
                    fail(done, "it is listed, or scanned, still", "that it is gone", where)
                if subject.persistent:
                    cache.reopen()
            cache.put(identity, given[:1], scores_for(identity, given[:1], 5))
            info = next(i for i in cache.namespaces() if i.identity == identity)
            if (info.rows, info.usage) != (1, Usage()):
                came = f"it has {info.rows} rows and has cost {info.usage}"
                fail(f"{done}, then one row was put", came, "one row, and no cost", where)
        for identity in (IDENTITIES[1], THREE):
            done, wanted = "Another namespace was purged", "all the scores of this one"
            cache.expect(identity, rows, scores_for(identity, rows), done, wanted, where)


def check_reading_all(subject: CacheSubject) -> None:
    """``scan`` and ``load_pairs`` give what was put, in the right channels, and no NaN."""
    where = "reading-all"
    rows = [Row(f"q{n}", ("z", f"q{n}", "a", "m", "unknown")) for n in range(30)]
    scores = scores_for(THREE, rows)
    for values in scores:
        values[:, 4] = np.nan
    with subject.new() as cache:
        if cache.scan(THREE.namespace) or cache.namespaces():
            fail("An empty cache was read", "something came", "nothing", where)
        cache.put(THREE, [Row("none", ("a",))], [[[np.nan]] * 3])
        if cache.namespaces():
            came, wanted = "there is a namespace", "nothing: a failure is never stored"
            fail("A row was put of which nothing is known", came, wanted, "merging")
        cache.put(THREE, rows, scores)
        done = "scan() was read"
        found = {row.query: (row, values) for row, values in cache.scan(THREE.namespace)}
        for row, values in zip(rows, scores, strict=True):
            if row.query not in found:
                fail(done, f"{row.query!r} is not among its rows", "every row", where)
            got_row, got = found[row.query]
            right = {key: values[:, i] for i, key in enumerate(row.keys) if key != "unknown"}
            if set(got_row.keys) != set(right) or got.shape != (3, 4):
                came = f"{row.query!r} has the keys {got_row.keys}"
                fail(done, came, "those whose score is known", where)
            for i, key in enumerate(got_row.keys):
                if not np.array_equal(got[:, i], right[key].astype(np.float16)):
                    came = f"{key!r} for {row.query!r} has {got[:, i]}, and {right[key]} was put"
                    fail(done, came, "the scores of that key, in the order of the channels", where)
        words = ["a", "m", "q3", "q7", "z", "nowhere"]
        pairs = told("load_pairs() was called", lambda: load_pairs(cache.cache, THREE, words))
        got_pairs = {(words[q], words[k]): tuple(v) for q, k, v in zip(*pairs[:2], pairs[2].T)}  # noqa: B905
        right_pairs = {
            (row.query, key): tuple(values[:, i].astype(np.float16))
            for row, values in zip(rows, scores, strict=True)
            for i, key in enumerate(row.keys)
            if {row.query, key} <= set(words)
        }
        if got_pairs != right_pairs or len(pairs[0]) != len(right_pairs):
            name = "get_pairs()" if isinstance(cache.cache, BulkCache) else "scan()"
            came = (
                f"{len(pairs[0])} pairs came by {name}, not the {len(right_pairs)} that are stored"
            )
            fail(
                "The pairs of a vocabulary were read",
                came,
                "each pair once, with its scores",
                where,
            )


def check_large_puts(subject: CacheSubject) -> None:
    """Thousands of rows and scores are all kept, however they come."""
    where = "size"
    many = [Row(f"query {n}", ("the", f"k{n}", f"j{n % 97}")) for n in range(3000)]
    wide = Row("wide", [f"w{n}" for n in range(5000)])
    words = [f"t{n}" for n in range(400)]
    texts = [text_row(*words[: n + 1]) for n in range(1, 400, 3)]
    scores = scores_for(ONE, many)
    broad, of_texts = scores_for(ONE, [wide]), scores_for(TEXTS, texts)
    with subject.new() as cache:
        cache.put(ONE, many[:1500], scores[:1500])
        cache.put(ONE, [wide], broad)
        for part in range(1500, 3000, 300):
            cache.put(ONE, many[part : part + 300], scores[part : part + 300])
        cache.put(TEXTS, texts, of_texts)
        if subject.persistent:
            cache.reopen()
        done = "3,000 rows, one of 5,000 keys, and texts of up to 400 tokens were put"
        cache.expect(ONE, many, scores, done, "every score, however many there are", where)
        cache.expect(ONE, [wide], broad, done, "every score of a long row", where)
        cache.expect(TEXTS, texts, of_texts, done, "every text", where)
        count = len(cache.scan(ONE.namespace))
        if count != 3001:
            fail(done, f"scan() gives {count} rows", "3,001 rows", where)
