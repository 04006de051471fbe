"""Which words the pieces of a text make up, told without looking ahead."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["PieceWords"]


class PieceWords:
    """Finds the words of pieces. ``spelled``: the bytes of each piece; ``final``: which pieces
    end a word; ``word_of``: the id of the word that some bytes spell, 0 for none.

    A word is found by a 64-bit hash of its pieces, since a batch holds thousands of them; what
    a hash stands for is worked out when it first comes up.
    """

    def __init__(
        self, spelled: Sequence[bytes], final: Sequence[bool], word_of: Callable[[bytes], int]
    ) -> None:
        self._spelled, self._word_of = spelled, word_of
        self._final = np.array(final, np.bool_)
        random = np.random.default_rng(0x5EED)
        self._values = random.integers(1, 2**64 - 1, len(spelled), np.uint64)
        self._base = random.integers(0, 2**63, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
        # Rising hashes and their words; one name, since another thread may read them.
        self._known = np.zeros(0, np.uint64), np.zeros(0, np.int64)

    def at(
        self, ids: NDArray[np.int64], begins: NDArray[np.bool_]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The word that ends with each piece, and the one that it belongs to; both ``(N,)``.

        ``begins``: where a window begins. No word reaches over its ends, and 0 stands where a
        word has not ended yet, or for one without an id.
        """
        if not len(ids):
            return np.zeros(0, np.int64), np.zeros(0, np.int64)
        final = self._final[ids]
        first = begins.copy()
        first[0] = True
        first[1:] |= final[:-1]
        starts = np.flatnonzero(first)
        number = np.cumsum(first) - 1  # of the word that a piece belongs to
        place = np.arange(len(ids)) - starts[number]
        powers = self._base ** np.arange(int(place.max()) + 1, dtype=np.uint64)
        total = np.cumsum(self._values[ids] * powers[place])
        ends = np.flatnonzero(final)
        before = starts[number[ends]]
        hashes = total[ends] - np.where(before > 0, total[before - 1], np.uint64(0))
        queries = np.zeros(len(ids), np.int64)
        queries[ends] = self._look_up(hashes, ids, before, ends)
        words = np.zeros(len(starts), np.int64)
        words[number[ends]] = queries[ends]
        return queries, words[number]

    def _look_up(
        self,
        hashes: NDArray[np.uint64],
        ids: NDArray[np.int64],
        starts: NDArray[np.int64],
        ends: NDArray[np.int64],
    ) -> NDArray[np.int64]:
        """The words ``ids[start] ... ids[end]`` by their hashes, new ones learned first."""
        old, old_words = self._known
        where = np.searchsorted(old, hashes)
        known = where < len(old)
        known[known] = old[where[known]] == hashes[known]
        if known.all():
            return old_words[where]
        new, first = np.unique(hashes[~known], return_index=True)
        found = [
            self._word_of(b"".join(self._spelled[index] for index in ids[start : end + 1]))
            for start, end in zip(starts[~known][first], ends[~known][first], strict=True)
        ]
        merged = np.concatenate([old, new])
        order = np.argsort(merged)
        merged = merged[order]
        words = np.concatenate([old_words, np.array(found, np.int64)])[order]
        self._known = merged, words
        return words[np.searchsorted(merged, hashes)]
