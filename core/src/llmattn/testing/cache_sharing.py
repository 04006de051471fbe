"""Checks of a cache that several use: threads, instances, processes; and of a store that fails."""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from llmattn.errors import CacheError, ConfigError
from llmattn.rows import Row
from llmattn.testing.cache_subject import (
    ONE,
    TEXTS,
    CacheSubject,
    Opened,
    scores_for,
    text_row,
)
from llmattn.testing.elsewhere import Child, elsewhere
from llmattn.testing.findings import CheckFailed, NotChecked, fail, shown
from llmattn.testing.subject import Made, made_by
from llmattn.usage import Usage

__all__ = [
    "check_another_process",
    "check_broken_store",
    "check_folder",
    "check_other_thread",
    "check_partial_puts",
    "check_second_instance",
    "check_threads",
]

_ROWS = [Row(f"q{n}", ("a", "b", f"q{n}")) for n in range(20)]
_TEXT = [text_row("a", "b", "c")]


def _in_threads(work: list[Callable[[], None]], seconds: float, done: str) -> None:
    """Do all at once; the first error is a finding, and so is one that does not end."""
    errors: list[BaseException] = []

    def caught(one: Callable[[], None]) -> None:
        try:
            one()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=caught, args=(one,), daemon=True) for one in work]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for thread in threads:
            thread.start()
        end = time.monotonic() + seconds
        for thread in threads:
            thread.join(max(0.0, end - time.monotonic()))
    finally:
        sys.setswitchinterval(interval)
    for error in errors:
        if isinstance(error, CheckFailed):
            fail(done, f"in a thread: {error}", "calls from any thread, at once", "threads")
        raise error
    if any(thread.is_alive() for thread in threads):
        came = f"a call had not ended after {seconds:g} seconds"
        fail(done, came, "locks that are given back", "threads")


def check_other_thread(subject: CacheSubject) -> None:
    """A cache may be opened in one thread and used in another, as llmattn does."""
    with subject.new() as cache:

        def use() -> None:
            cache.put(ONE, _ROWS, scores_for(ONE, _ROWS), Usage(1))
            cache.get(ONE, _ROWS)
            cache.scan(ONE.namespace)
            cache.namespaces()
            cache.purge(TEXTS.namespace)

        _in_threads([use], subject.patience, "A cache was used in another thread than opened it")
        done = "A cache was filled in another thread than opened it"
        cache.expect(ONE, _ROWS, scores_for(ONE, _ROWS), done, "all of it", "threads")


def check_threads(subject: CacheSubject) -> None:
    """Threads that put into the same rows at once lose nothing, and readers see no half."""
    count, puts = 6, 25
    keys = [[f"k{t}-{n}" for n in range(puts)] for t in range(count)]
    text = text_row(*(f"w{n}" for n in range(count)))
    with subject.new() as cache:
        with suppress(ValueError):  # what follows an error must not wait for it
            cache.cache.put(ONE, [Row("q", ("bad",))], [np.array([[2.0]], np.float32)])
        barrier = threading.Barrier(count + 1)
        cache.put(ONE, [Row("q", ("first",))], [[[0.5]]])

        def fill(t: int) -> Callable[[], None]:
            def work() -> None:
                barrier.wait()
                here = np.full((2, count), np.nan)
                here[:, t] = (t + 1) / 8
                for n, key in enumerate(keys[t]):
                    row = [Row("q", (key,)), Row(f"own{t}", (key,))]
                    cache.put(ONE, row, [[[(n + 1) / 32]]] * 2, Usage(1))
                    if n % 8 == 0:
                        cache.put(TEXTS, [text], [here])

            return work

        def look() -> None:
            barrier.wait()
            for _ in range(10):
                cache.get(ONE, [Row("q", keys[0])])
                cache.scan(ONE.namespace)
                cache.namespaces()

        work = [*(fill(t) for t in range(count)), look]
        done = f"{count} threads put {puts} scores each into one row, while another read"
        _in_threads(work, subject.patience, done)
        row = Row("q", [key for each in keys for key in each])
        scores = [[(n + 1) / 32 for _ in range(count) for n in range(puts)]]
        cache.expect(ONE, [row], [scores], done, "every score of every thread", "threads")
        whole = np.array([[(t + 1) / 8 for t in range(count)]] * 2)
        cache.expect(TEXTS, [text], [whole], done, "every position of every thread", "threads")
        usage = next(info.usage for info in cache.namespaces() if info.identity == ONE)
        if usage.requests != count * puts:
            came = f"the cost is that of {usage.requests} requests, not of {count * puts}"
            fail(done, came, "the sum of what all have put", "threads")


def check_second_instance(subject: CacheSubject) -> None:
    """Two that are open on one store see at once what the other puts."""
    if not subject.persistent:
        raise NotChecked("it ends with its process")
    with subject.new() as one, Opened(one.opener) as other:
        one.put(ONE, _ROWS, scores_for(ONE, _ROWS))
        one.put(TEXTS, _TEXT, scores_for(TEXTS, _TEXT))
        done = "A cache was put into, while another instance had the same store open"
        wanted = "what the one has put, as soon as put() returns"
        other.expect(ONE, _ROWS, scores_for(ONE, _ROWS), done, wanted, "durability")
        other.expect(TEXTS, _TEXT, scores_for(TEXTS, _TEXT), done, wanted, "durability")
        later = scores_for(ONE, _ROWS, 3)
        other.put(ONE, _ROWS, later)
        one.expect(
            ONE, _ROWS, later, f"{done}, and the other then put other scores", wanted, "durability"
        )
        other.purge(ONE.namespace)
        if any(info.identity == ONE for info in one.namespaces()):
            fail(
                "The other instance purged a namespace",
                "it is listed",
                "that it is gone",
                "durability",
            )


def _recipe(subject: CacheSubject, opener: Callable[[], Any]) -> Made:
    """How the cache is opened, so that another process can do it."""
    if not subject.persistent:
        raise NotChecked("it ends with its process")

    def make() -> Any:
        cache = opener()
        cache.close()
        return cache

    return made_by(make)


def use_elsewhere(made: Made) -> list[Any]:
    """In another process: read what is there, put more, and end without closing."""
    cache = made()
    found = cache.get(ONE, _ROWS[:10])
    cache.put(ONE, _ROWS[10:], scores_for(ONE, _ROWS)[10:], Usage(1))
    cache.put(TEXTS, _TEXT, scores_for(TEXTS, _TEXT))
    return [found, len(cache.namespaces())]


def check_another_process(subject: CacheSubject) -> None:
    """Another process opens the same store meanwhile, reads and puts; what it has put is there,
    though it ends without a word.
    """
    opener = subject.fresh()
    made = _recipe(subject, opener)
    scores = scores_for(ONE, _ROWS)
    with Opened(opener) as cache:
        cache.put(ONE, _ROWS[:10], scores[:10])
        cache.get(ONE, _ROWS)
        answer, error = elsewhere(use_elsewhere, made, seconds=2 * subject.patience)
        done = "Another process opened the store, while this one has it open, and read and put"
        if error:
            fail(done, f"there came {error}", "that it works, as here", "processes")
        for found, right in zip(answer[0], scores, strict=False):
            if not np.array_equal(found, right):
                fail(done, f"it read {shown(found)}", "what was put here", "processes")
        done = "Another process put rows, and ended at once without close()"
        wanted = "what it has put: it is durable once put() returns"
        cache.expect(ONE, _ROWS, scores, done, wanted, "processes")
        cache.expect(TEXTS, _TEXT, scores_for(TEXTS, _TEXT), done, wanted, "processes")
        cache.reopen()
        cache.expect(
            ONE, _ROWS, scores, f"{done}; then the store was opened anew", wanted, "processes"
        )


_MANY = [Row(f"many {n}", (f"k{n}",)) for n in range(4000)]


def put_many(made: Made) -> None:
    """In another process: one large put a namespace."""
    cache = made()
    for number in range(3):
        rows = [Row(f"{number} {row.query}", row.keys) for row in _MANY]
        cache.put(ONE, rows, scores_for(ONE, rows))
    cache.close()


def check_partial_puts(subject: CacheSubject) -> None:
    """While another process puts thousands of rows, either none of them is seen, or all are."""
    opener = subject.fresh()
    made = _recipe(subject, opener)
    with Opened(opener) as cache:
        ends = [
            [Row(f"{n} {row.query}", row.keys) for row in (_MANY[0], _MANY[-1])] for n in range(3)
        ]
        child = Child(put_many, made).start()
        while child.running:
            for first, last in ends:
                if np.isnan(cache.get(ONE, [first])[0]).any():
                    break
                if np.isnan(cache.get(ONE, [last])[0]).any():
                    child.kill()
                    fail(
                        f"Another process put {len(_MANY)} rows in one call",
                        "the first of them was seen when the last was not there yet",
                        "all rows of a put, or none: one transaction",
                        "all-or-nothing",
                    )
            time.sleep(0.001)
        _, error = child.result(subject.patience)
        if error:
            fail(
                "Another process put many rows", f"there came {error}", "that it works", "processes"
            )


def _folder_of(subject: CacheSubject) -> tuple[Made, Any]:
    """How the cache is made, if its settings have a ``dir``."""
    made = _recipe(subject, subject.fresh())
    settings = made.settings
    if settings is None or "dir" not in {f.name for f in attrs.fields(type(settings))}:
        raise NotChecked("its settings have no dir, so --cache-dir does not reach it")
    return made, settings


def check_folder(subject: CacheSubject) -> None:
    """``dir``, where --cache-dir goes, is made if it lacks, and is where the files are."""
    made, settings = _folder_of(subject)
    with tempfile.TemporaryDirectory() as folder:
        one, two = (Path(folder) / name / "deep" for name in ("one", "two"))
        caches = [
            Opened(made.with_settings(attrs.evolve(settings, dir=each))) for each in (one, two)
        ]
        caches[0].put(ONE, _ROWS, scores_for(ONE, _ROWS))
        done = "Caches in two folders were opened, and one was put into"
        nothing = [np.full((1, 3), np.nan)] * len(_ROWS)
        if not hasattr(settings, "url"):  # of a server, which both share
            caches[1].expect(
                ONE, _ROWS, nothing, done, "a store of its own in each dir", "the-folder"
            )
        for cache in caches:
            cache.close()
        if not any(path.is_file() for path in one.rglob("*")):
            fail(done, "there is no file below dir", "the store below dir", "the-folder")


def check_broken_store(subject: CacheSubject) -> None:
    """A folder that is none, and files that hold noise, end in CacheError."""
    made, settings = _folder_of(subject)
    with tempfile.TemporaryDirectory() as folder:
        blocked = Path(folder) / "file"
        blocked.write_text("no folder")
        for where in (blocked, blocked / "below"):
            opener = made.with_settings(attrs.evolve(settings, dir=where))
            _refused("The cache was opened where dir is a file", opener, must=True)
        noisy = Path(folder) / "noisy"
        opener = made.with_settings(attrs.evolve(settings, dir=noisy))
        cache = Opened(opener)
        cache.put(ONE, _ROWS, scores_for(ONE, _ROWS))
        cache.close()
        for path in noisy.rglob("*"):
            if path.is_file():
                path.write_bytes(b"\xa5noise" * 2000)
        _refused("Noise was written over all files of the cache", opener)


def _refused(done: str, opener: Callable[[], Any], must: bool = False) -> None:
    try:
        cache = opener()
        cache.get(ONE, _ROWS)
        list(cache.scan(ONE.namespace))
        cache.namespaces()
        cache.put(ONE, _ROWS, scores_for(ONE, _ROWS))
        cache.close()
    except (CacheError, ConfigError):
        return
    except Exception as error:
        came = f"{type(error).__name__} was raised: {shown(str(error), 120)}"
        fail(done, came, "CacheError, in words for a user", "errors-of-a-cache")
    if must:
        fail(done, "it was used all the same", "CacheError", "errors-of-a-cache")
