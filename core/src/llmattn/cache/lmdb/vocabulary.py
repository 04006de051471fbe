"""The words of a cache file and their ids: kept whole in memory, appended to in the file."""

from __future__ import annotations

import struct
import threading
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain, count, islice
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmattn.cache.lmdb.layout import ID_KEY, check, pack_words, unpack_words
from llmattn.errors import CacheDamaged
from llmattn.rows import Row

__all__ = ["Interning", "Vocabulary", "word_lists"]

_WORDS_A_LIST = 64
_ID = struct.Struct("<I")
_UNKNOWN = b"\xff\xff\xff\xff"
RowIds = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Query ids (R,) and, one row after the other, key ids (N,)."""


class Vocabulary:
    """Ids count up from 0 and never change in one file. Only a write transaction adds words."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._ids = _Ids()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.words)

    def refresh(self, txn: Any, table: Any) -> None:
        """Read the words that other processes have added.

        Raises CacheDamaged if the word list is damaged.
        """
        cursor = txn.cursor(table)
        if not cursor.last() or ID_KEY.unpack(cursor.key())[0] < len(self.words):
            return
        with self._lock:
            if not cursor.set_range(ID_KEY.pack(len(self.words))):
                return
            for key, value in cursor:
                first = ID_KEY.unpack(key)[0]
                if first != len(self.words) or not check(key, value):
                    raise CacheDamaged(
                        "The cache's word list is damaged. Save what is good in the cache by: "
                        "llmattn cache verify --drop"
                    )
                self._extend(unpack_words(value))

    def ids(self, words: Sequence[str]) -> NDArray[np.int64]:
        """Ids of ``words``, -1 for those not known."""
        return _looked_up(self._ids, words)

    def row_ids(self, rows: Sequence[Row]) -> RowIds:
        """Ids of the words of ``rows``, -1 for those not known."""
        return _row_ids(self._ids, rows)

    def key_ids(self, rows: Sequence[Row]) -> Iterator[bytes]:
        """Ids of each row's keys as the file has them, four bytes 255 for those not known."""
        return _key_ids(self._ids, rows)

    def begin(self) -> Interning:
        """Start a write transaction."""
        return Interning(self._ids)

    def save(self, txn: Any, table: Any, interning: Interning) -> None:
        """Write the words that came in with ``interning``."""
        for key, value in word_lists(interning.new, len(self.words)):
            txn.put(key, value, db=table, append=True)

    def commit(self, interning: Interning) -> None:
        """Keep the new words; call it when the transaction that wrote them is durable."""
        with self._lock:
            new = interning.new
            if new and new[0] not in self._ids:  # a reader may have found them in the file
                self._extend(new)

    def _extend(self, words: list[str]) -> None:
        first = len(self.words)
        numbers = range(first, first + len(words))
        self._ids.update(zip(words, map(_ID.pack, numbers), strict=True))
        self.words.extend(words)


class Interning:
    """Ids during one write transaction: known words, and new ones, which get the next ids."""

    def __init__(self, known: _Ids) -> None:
        self._known = known
        self._ids: dict[str, bytes] | None = None

    @property
    def new(self) -> list[str]:
        """The words that were not known before, in the order of their ids."""
        if isinstance(self._ids, _Added):
            return self._ids.new
        return [] if self._ids is None else list(islice(self._ids, len(self._known), None))

    def row_ids(self, rows: Sequence[Row]) -> RowIds:
        """Ids of the words of ``rows``, all of which get one."""
        return _row_ids(self._lookup(rows), rows)

    def key_ids(self, rows: Sequence[Row]) -> Iterator[bytes]:
        """Ids of each row's keys as the file has them, all of which get one."""
        return _key_ids(self._lookup(rows), rows)

    def _lookup(self, rows: Sequence[Row]) -> dict[str, bytes]:
        """Gives new ids without a line of Python, unless copying the known ones costs more."""
        if self._ids is None:
            if sum(len(row.keys) for row in rows) < len(self._known):
                self._ids = _Added(self._known)
            else:
                fresh = map(_ID.pack, count(len(self._known)))
                self._ids = defaultdict(fresh.__next__, self._known)
        return self._ids


class _Added(dict[str, bytes]):
    """Ids as they are asked for, known or new."""

    def __init__(self, known: _Ids) -> None:
        super().__init__()
        self.new: list[str] = []
        self._known = known

    def __missing__(self, word: str) -> bytes:
        found = self._known[word]
        if found is _UNKNOWN:
            found = _ID.pack(len(self._known) + len(self.new))
            self.new.append(word)
        self[word] = found
        return found


class _Ids(dict[str, bytes]):
    """Ids by word, as four bytes: joining those is faster than reading Python's numbers."""

    def __missing__(self, word: str) -> bytes:
        return _UNKNOWN


def _packed(ids: dict[str, bytes], words: Sequence[str]) -> bytes:
    """``ids[word]`` for all ``words``; itemgetter takes half the time of a loop or of map."""
    if len(words) > 1:
        return b"".join(itemgetter(*words)(ids))
    return b"".join([ids[word] for word in words])


def _looked_up(ids: dict[str, bytes], words: Sequence[str]) -> NDArray[np.int64]:
    return np.frombuffer(_packed(ids, words), "<i4").astype(np.int64)


def _row_ids(ids: dict[str, bytes], rows: Sequence[Row]) -> RowIds:
    queries = [row.query for row in rows]
    found = _looked_up(ids, list(chain(queries, *[row.keys for row in rows])))
    return found[: len(rows)], found[len(rows) :]


def _key_ids(ids: dict[str, bytes], rows: Sequence[Row]) -> Iterator[bytes]:
    packed = _packed(ids, list(chain.from_iterable([row.keys for row in rows])))
    end = 0
    for row in rows:
        start, end = end, end + _ID.size * len(row.keys)
        yield packed[start:end]


def word_lists(words: Sequence[str], first: int) -> Iterator[tuple[bytes, bytes]]:
    """Records for ``words``, numbered from ``first`` on. Lists are short: a damaged one is lost."""
    for start in range(0, len(words), _WORDS_A_LIST):
        key = ID_KEY.pack(first + start)
        yield key, pack_words(key, words[start : start + _WORDS_A_LIST])
