"""The words of a cache file and their ids: kept whole in memory, appended to in the file."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmattn.cache.lmdb_layout import ID_KEY, check, pack_words, unpack_words
from llmattn.errors import CacheError

__all__ = ["Vocabulary"]


class Vocabulary:
    """Ids count up from 0 and never change in one file. Only a write transaction adds words."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self._ids: dict[str, int] = {}
        self._last_key: bytes | None = None
        self._new: dict[str, int] = {}
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
                    raise CacheError("The cache's word list is damaged. Run: llmattn cache verify")
                self._extend(unpack_words(value))
                self._last_key = key

    def ids(self, words: Sequence[str]) -> NDArray[np.int64]:
        """Ids of ``words``, -1 for those not known."""
        return np.fromiter(map(self._ids.get, words, repeat(-1)), np.int64, len(words))

    def begin(self) -> dict[str, int]:
        """Start a write transaction; returns where the words that it adds are noted."""
        self._new = {}
        return self._new

    def add(self, words: Iterable[str]) -> None:
        """Give ids to those ``words`` that have none, inside a write transaction."""
        new, known, size = self._new, self._ids, len(self.words)
        for word in words:
            if word not in known and word not in new:
                new[word] = size + len(new)

    def ids_in_write(self, words: Sequence[str]) -> NDArray[np.int64]:
        """Ids of ``words``, among them those just added."""
        if not self._new:
            return self.ids(words)
        both = {**self._ids, **self._new}
        return np.fromiter(map(both.__getitem__, words), np.int64, len(words))

    def save(self, txn: Any, table: Any, new: dict[str, int]) -> None:
        """Write the words noted in ``new``."""
        if new:
            first = ID_KEY.pack(len(self.words))
            txn.put(first, pack_words(list(new)), db=table, append=True)

    def commit(self, new: dict[str, int]) -> None:
        """Keep the words in ``new``; call it when the transaction that wrote them is durable."""
        with self._lock:
            if new and next(iter(new)) not in self._ids:
                self._last_key = ID_KEY.pack(len(self.words))
                self._extend(list(new))

    def _extend(self, words: list[str]) -> None:
        self._ids.update(
            zip(words, range(len(self.words), len(self.words) + len(words)), strict=True)
        )
        self.words.extend(words)
