"""Reads every record of a cache file, and can write a new file of the good ones."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from attrs import evolve

from llmattn.cache.lmdb.layout import (
    CHUNK_KEY,
    ID_BYTES,
    ID_KEY,
    LAST_SPACE,
    LAYOUT_KEY,
    LAYOUT_VALUE,
    PAIR_KEY,
    SEALED,
    Space,
    check,
    last_number,
    seal,
    unpack_words,
)
from llmattn.cache.lmdb.opening import Contents, Records, swap_in, translated
from llmattn.cache.lmdb.pages import ELSEWHERE, structure_problems
from llmattn.cache.lmdb.salvage import salvaged
from llmattn.cache.lmdb.store import acquire, release
from llmattn.cache.lmdb.texts import ChunkRow, chunked, unpack_chunk
from llmattn.cache.lmdb.vocabulary import word_lists
from llmattn.cache.protocol import VerifyReport
from llmattn.cache.settings import LmdbSettings
from llmattn.errors import CacheDamaged, CacheError

__all__ = ["verify_file"]


def verify_file(path: Path, settings: LmdbSettings, *, drop: bool) -> VerifyReport:
    """Check structure and records of the file ``path``; see ``FileCache.verify``."""
    if not path.exists():
        raise CacheError(f"There is no cache in {path.parent}.")
    report = VerifyReport(path)
    try:
        store = acquire(path, settings)
    except CacheDamaged as error:
        return _saved(path, structure_problems(path) or [str(error)], report, drop)
    try:
        if problems := store.page_problems():
            return _saved(path, problems, report, drop)
        store.read(lambda txn, _: _use_up(_good(store.contents(txn), report)), words=False)
        if drop and report.problems:
            report.kept_copy = _copy(path)
            again = evolve(report, problems=[], records=0)
            store.rewrite(lambda txn, _: _good(store.contents(txn), again))
    finally:
        release(store)
    return report


def _saved(path: Path, problems: list[str], report: VerifyReport, drop: bool) -> VerifyReport:
    """The report of a file that LMDB cannot be given; ``drop``: save what its pages hold.

    Raises CacheDamaged if they hold nothing of ours.
    """
    report.problems += problems
    if drop:
        found = salvaged(path)
        if found is None:
            raise CacheDamaged(
                f"{path} holds no scores that can be saved ({problems[0]}): move it away, or "
                f"{ELSEWHERE}."
            )
        report.kept_copy = _copy(path)
        swap_in(path, _good(found, report))
    return report


def _copy(path: Path) -> Path:
    for number in range(1, 10_000):
        copy = path.with_name(f"{path.name}.damaged-{number}")
        if not copy.exists():
            with translated(path):
                shutil.copy2(path, copy)
            return copy
    raise CacheError(f"There are too many copies of {path}; remove some.")


def _use_up(contents: Contents) -> None:
    for items in contents.values():
        for _ in items:
            pass


class _Checker:
    """Passes good records on. The databases are read in order: later ones need earlier ones."""

    def __init__(self, report: VerifyReport) -> None:
        self._report = report
        self._spaces: dict[int, Space] = {}
        self._words: list[str] = []
        self._lost: set[int] = set()
        self._places: dict[bytes, list[bytes]] = {}

    def filtered(self, items: Records, wrong: Callable[[bytes, bytes], str]) -> Records:
        """Records about which ``wrong`` has nothing to say."""
        for key, value in items:
            self._report.records += 1
            problem = wrong(key, value)
            if problem:
                self._report.problems.append(problem)
            else:
                yield key, value

    def meta(self, items: Records) -> Records:
        """The layout and the highest number, which is made anew from the namespaces if need be."""
        found = dict(items)
        self._report.records += len(found)
        try:
            last = last_number(found.pop(LAST_SPACE, None))
        except ValueError as error:
            self._report.problems.append(f"meta: {error}")
            last = 0
        found.pop(LAYOUT_KEY, None)  # whoever opened the file has read it
        self._report.problems += [f"meta: {key!r} is no key" for key in found]
        highest = max([last, *self._spaces])
        if highest != last and not found:
            self._report.problems.append("meta: the highest number of a namespace is missing")
        yield LAST_SPACE, seal(LAST_SPACE, b"%d" % highest)
        yield LAYOUT_KEY, LAYOUT_VALUE

    def namespaces(self, items: Records) -> Records:
        """Descriptions of which at least one copy is whole, under their own keys."""
        good: dict[bytes, bytes] = {}
        for key, value in items:
            self._report.records += 1
            name = f"namespace {key.decode('ascii', 'replace')}"
            try:
                space = Space.from_value(value)
            except ValueError as error:
                self._report.problems.append(f"{name}: its description is damaged, {error}")
                continue
            if space.key != key:
                self._report.problems.append(f"{name}: is the key of {space.key.decode()}")
            elif space.to_value() != value:
                self._report.problems.append(f"{name}: a copy of its description is damaged")
            self._spaces[space.id] = space
            good[space.key] = space.to_value()
        yield from sorted(good.items())

    def words(self, items: Records) -> Records:
        """The word lists; gaps are filled, so that the ids of other words stay."""
        for key, value in items:
            self._report.records += 1
            try:
                words = unpack_words(value) if check(key, value) else None
                first = ID_KEY.unpack(key)[0]
            except (ValueError, struct.error):
                words, first = None, 0
            if words is None or first < len(self._words):
                self._report.problems.append(f"words: the list at {key.hex()} is damaged")
                continue
            if first > len(self._words):
                start = len(self._words)
                self._report.problems.append(f"words: numbers {start} to {first - 1} are lost")
                names = [f"\x00lost {number}" for number in range(start, first)]
                self._lost.update(range(start, first))
                self._words += names
                yield from word_lists(names, start)
            self._words += words
            yield key, value

    def pair_row(self, key: bytes, value: bytes) -> str:
        if len(key) != PAIR_KEY.size:
            return f"pairs: {key.hex()} is no key"
        number, query, block = PAIR_KEY.unpack(key)
        space = self._spaces.get(number)
        if space is None:
            return f"pairs: {key.hex()} belongs to no namespace"
        name = self._name(space, query)
        width = 2 + 2 * space.channels
        if not check(key, value) or (len(value) - SEALED) % width or len(value) == SEALED:
            return f"{name}: its checksum is wrong"
        records = np.frombuffer(value, "<u2", offset=SEALED).reshape(-1, width // 2)
        ids = records[:, 0].astype(np.int64) + (block << 16)
        if (np.diff(ids) <= 0).any() or not self._known([query, *ids.tolist()]):
            return f"{name}: it names words that the cache does not know"
        scores = records[:, 1:].view(np.float16)
        if not ((scores >= 0) & (scores <= 1)).all():
            return f"{name}: a score is not in [0, 1]"
        return ""

    def texts(self, items: Records) -> Iterator[tuple[int, bytes, bytes]]:
        """Space, token ids and scores of the good rows in the chunks."""
        for key, value in items:
            space = self._spaces.get(ID_KEY.unpack(key[:4])[0]) if len(key) == 8 else None
            rows = unpack_chunk(key, value)
            if space is None or rows is None:
                what = "belongs to no namespace" if space is None else "its checksum is wrong"
                self._report.problems.append(f"texts: chunk {key.hex()}: {what}")
                continue
            _, number = CHUNK_KEY.unpack(key)
            for row in rows:
                self._report.records += 1
                self._places.setdefault(row.key, []).append(row.place(number))
                problem = self._text_row(space, row)
                if problem:
                    self._report.problems.append(problem)
                else:
                    yield space.id, row.ids, row.scores or b""

    def _text_row(self, space: Space, row: ChunkRow) -> str:
        name = f"a text of {len(row.ids) // ID_BYTES} tokens of {space.identity.provider}"
        if row.scores is None:
            return f"{name}: its checksum is wrong"
        if not self._known(np.frombuffer(row.ids, "<u4").tolist()):
            return f"{name}: it has words that the cache does not know"
        scores = np.frombuffer(row.scores, "<f2")
        if len(scores) * ID_BYTES != len(row.ids) * space.channels:
            return f"{name}: it has not one score a token and channel"
        if ((scores < 0) | (scores > 1)).any():
            return f"{name}: a score is not in [0, 1]"
        return ""

    def index(self, items: Records, rebuilt: Records) -> Records:
        """``rebuilt``, once what is stored has been compared with the rows that there are."""
        astray = 0
        for key, place in items:
            astray += place not in self._places.pop(key, ())
        if astray:
            self._report.problems.append(f"texts: {astray} rows are not where the index says")
        if self._places:
            self._report.problems.append(f"texts: {len(self._places)} rows are not in the index")
        yield from rebuilt

    def _known(self, ids: list[int]) -> bool:
        return max(ids) < len(self._words) and self._lost.isdisjoint(ids)

    def _name(self, space: Space, query: int) -> str:
        word = self._words[query] if query < len(self._words) else f"word {query}"
        return f"the row of {word!r} of {space.identity.provider}"


def _good(contents: Contents, report: VerifyReport) -> Contents:
    """``contents`` without the bad records, which are noted in ``report`` as they come by."""
    checker = _Checker(report)
    texts, index = chunked(checker.texts(contents[b"texts"]))
    return {
        b"namespaces": checker.namespaces(contents[b"namespaces"]),
        b"meta": checker.meta(contents[b"meta"]),
        b"tokens": checker.words(contents[b"tokens"]),
        b"pairs": checker.filtered(contents[b"pairs"], checker.pair_row),
        b"texts": texts,
        b"prefixes": checker.index(contents[b"prefixes"], index),
    }
