"""The words of a cache file and their ids: kept whole in memory, appended to in the file."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmattn.cache.lmdb_layout import ID_KEY, check, pack_words, unpack_words
from llmattn.errors import CacheError

__all__ = ["Interning", "Vocabulary", "word_lists"]

_WORDS_A_LIST = 64


class Vocabulary:
    """Ids count up from 0 and never change in one file. Only a write transaction adds words."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._ids = _Ids()
        self._last_key: bytes | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.words)

    def refresh(self, txn: Any, table: Any) -> None:
        """Read the words that other processes have added.

        Raises CacheError if the word list is damaged.
        """
        cursor = txn.cursor(table)
        if not cursor.last() or cursor.key() == self._last_key:
            return
        with self._lock:
            if not cursor.set_range(ID_KEY.pack(len(self.words))):
                return
            for key, value in cursor:
                first = ID_KEY.unpack(key)[0]
                if first != len(self.words) or not check(value):
                    raise CacheError(
                        "The cache's word list is damaged. Save what is good in the cache by: "
                        "llmattn cache verify --drop"
                    )
                self._extend(unpack_words(value))
                self._last_key = key

    def ids(self, words: Sequence[str]) -> NDArray[np.int64]:
        """Ids of ``words``, -1 for those not known."""
        return _looked_up(self._ids, words)

    def begin(self) -> Interning:
        """Start a write transaction."""
        return Interning(self._ids)

    def save(self, txn: Any, table: Any, interning: Interning) -> None:
        """Write the words that came in with ``interning``."""
        for key, value in word_lists(interning.new, len(self.words)):
            txn.put(key, value, db=table, append=True)
            interning.last_key = key

    def commit(self, interning: Interning) -> None:
        """Keep the new words; call it when the transaction that wrote them is durable."""
        new = interning.new
        with self._lock:
            if new and new[0] not in self._ids:
                self._extend(new)
                self._last_key = interning.last_key

    def _extend(self, words: list[str]) -> None:
        first = len(self.words)
        self._ids.update(zip(words, range(first, first + len(words)), strict=True))
        self.words.extend(words)


class Interning(dict[str, int]):
    """Ids during one write transaction: known ones, and new ones for ``new`` words."""

    def __init__(self, known: dict[str, int]) -> None:
        super().__init__()
        self.new: list[str] = []
        self.last_key: bytes | None = None
        """Key of the last list that was written."""
        self._known = known

    def __missing__(self, word: str) -> int:
        found = self._known.get(word)
        if found is None:
            found = len(self._known) + len(self.new)
            self.new.append(word)
        self[word] = found
        return found

    def ids(self, words: Sequence[str]) -> NDArray[np.int64]:
        """Ids of ``words``, all of which get one."""
        return _looked_up(self, words)


class _Ids(dict[str, int]):
    """Ids by word, -1 for any other."""

    def __missing__(self, word: str) -> int:
        return -1


def _looked_up(ids: dict[str, int], words: Sequence[str]) -> NDArray[np.int64]:
    """``ids[word]`` for all ``words``; itemgetter takes half the time of a loop or of map."""
    found = itemgetter(*words)(ids) if len(words) > 1 else [ids[word] for word in words]
    return np.fromiter(found, np.int64, len(words))


def word_lists(words: Sequence[str], first: int) -> Iterator[tuple[bytes, bytes]]:
    """Records for ``words``, numbered from ``first`` on. Lists are short: a damaged one is lost."""
    for start in range(0, len(words), _WORDS_A_LIST):
        yield ID_KEY.pack(first + start), pack_words(words[start : start + _WORDS_A_LIST])
