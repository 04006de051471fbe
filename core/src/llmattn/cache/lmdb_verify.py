"""Reads every record of a cache file, and can write a new file of the good ones."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from attrs import define, evolve, field

from llmattn.cache.lmdb_chunks import ChunkRow, chunked, unpack_chunk
from llmattn.cache.lmdb_env import translated
from llmattn.cache.lmdb_file import FILE_NAME, check_file, structure_problems
from llmattn.cache.lmdb_layout import (
    CHUNK_KEY,
    ID_BYTES,
    ID_KEY,
    PAIR_KEY,
    PLACE,
    SEALED,
    check,
    prefix_key,
    unpack_words,
)
from llmattn.cache.lmdb_salvage import salvage
from llmattn.cache.lmdb_spaces import Space
from llmattn.cache.lmdb_store import acquire, release
from llmattn.cache.lmdb_swap import Contents, folder_lock, swap_in
from llmattn.cache.vocabulary import word_lists
from llmattn.errors import CacheError
from llmattn.paths import user_path

__all__ = ["VerifyReport", "verify"]

_MAP_SIZE = 1 << 36


@define
class VerifyReport:
    """What :func:`verify` found."""

    path: Path
    records: int = 0
    problems: list[str] = field(factory=list)
    kept_copy: Path | None = None
    """Where the file went before its bad records were dropped."""


def verify(folder: Path, *, drop: bool = False) -> VerifyReport:
    """Check structure and records of the cache in ``folder``.

    ``drop``: if something is wrong, keep a copy of the file and go on with its good records.
    Raises CacheError if there is no cache, or a copy cannot be made.
    """
    path = user_path(folder).resolve() / FILE_NAME
    if not path.exists():
        raise CacheError(f"There is no cache in {folder}.")
    report = VerifyReport(path)
    report.problems += _structure(path)
    if report.problems:
        if drop:
            report.kept_copy = _copy(path)
            swap_in(path, _good(salvage(report.kept_copy), report))
        return report
    store = acquire(path, _MAP_SIZE, sync=True)
    try:
        store.read(lambda txn: _consume(_good(store.contents(txn), report)), words=False)
        if drop and report.problems:
            report.kept_copy = _copy(path)
            again = evolve(report, problems=[], records=0)
            store.rewrite(lambda txn: _good(store.contents(txn), again))
    finally:
        release(store)
    return report


def _structure(path: Path) -> list[str]:
    """What is wrong with the tree of pages; LMDB itself is not trusted with the file before."""
    try:
        with folder_lock(path.parent):
            check_file(path, walked=0)
    except CacheError as error:
        found = [str(error)] if path.is_symlink() else structure_problems(path)
        return found or [str(error)]
    problems = structure_problems(path)
    if problems is None:
        raise CacheError(f"{path} is being written all the time; verify it when that has ended.")
    return problems


def _copy(path: Path) -> Path:
    for number in range(1, 10_000):
        copy = path.with_name(f"{path.name}.damaged-{number}")
        if not copy.exists():
            with translated(path):
                shutil.copy2(path, copy)
            return copy
    raise CacheError(f"There are too many copies of {path}; remove some.")


def _consume(contents: Contents) -> None:
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

    def filtered(
        self,
        items: Iterator[tuple[bytes, bytes]],
        wrong: Callable[[bytes, bytes], str],
    ) -> Iterator[tuple[bytes, bytes]]:
        """Records about which ``wrong`` has nothing to say."""
        for key, value in items:
            self._report.records += 1
            problem = wrong(key, value)
            if problem:
                self._report.problems.append(problem)
            else:
                yield key, value

    def namespace(self, key: bytes, value: bytes) -> str:
        try:
            space = Space.from_json(value)
        except (KeyError, TypeError, ValueError) as error:
            return f"namespace {key.decode('ascii', 'replace')}: cannot be read ({error})"
        if space.identity.namespace.encode() != key:
            return f"namespace {key.decode('ascii', 'replace')}: is not that of its identity"
        self._spaces[space.id] = space
        return ""

    def words(self, items: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[bytes, bytes]]:
        """The word lists; gaps are filled, so that the ids of other words stay."""
        for key, value in items:
            self._report.records += 1
            try:
                words = unpack_words(value) if check(value) else None
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
        width = 2 + 2 * len(space.identity.channels)
        if not check(value) or (len(value) - SEALED) % width or len(value) == SEALED:
            return f"{name}: its checksum is wrong"
        records = np.frombuffer(value, "<u2", offset=SEALED).reshape(-1, width // 2)
        ids = records[:, 0].astype(np.int64) + (block << 16)
        if (np.diff(ids) <= 0).any() or not self._known([query, *ids.tolist()]):
            return f"{name}: it names words that the cache does not know"
        scores = records[:, 1:].view(np.float16)
        if not ((scores >= 0) & (scores <= 1)).all():
            return f"{name}: a score is not in [0, 1]"
        return ""

    def texts(self, items: Iterator[tuple[bytes, bytes]]) -> Iterator[tuple[int, bytes, bytes]]:
        """Space, token ids and scores of the good rows in the chunks."""
        for key, value in items:
            space = self._spaces.get(ID_KEY.unpack(key[:4])[0]) if len(key) == 8 else None
            rows = unpack_chunk(value)
            if space is None or rows is None:
                what = "belongs to no namespace" if space is None else "its checksum is wrong"
                self._report.problems.append(f"texts: chunk {key.hex()}: {what}")
                continue
            _, number = CHUNK_KEY.unpack(key)
            for row in rows:
                self._report.records += 1
                name = prefix_key(space.id, row.ids)
                place = PLACE.pack(number, row.offset, len(row.ids) // ID_BYTES)
                self._places.setdefault(name, []).append(place)
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
        if len(scores) * ID_BYTES != len(row.ids) * len(space.identity.channels):
            return f"{name}: it has not one score a token and channel"
        if ((scores < 0) | (scores > 1)).any():
            return f"{name}: a score is not in [0, 1]"
        return ""

    def index(
        self, items: Iterator[tuple[bytes, bytes]], rebuilt: Iterator[tuple[bytes, bytes]]
    ) -> Iterator[tuple[bytes, bytes]]:
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
        b"meta": contents[b"meta"],
        b"namespaces": checker.filtered(contents[b"namespaces"], checker.namespace),
        b"tokens": checker.words(contents[b"tokens"]),
        b"pairs": checker.filtered(contents[b"pairs"], checker.pair_row),
        b"texts": texts,
        b"prefixes": checker.index(contents[b"prefixes"], index),
    }
