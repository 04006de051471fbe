"""The default cache: scores by row in one LMDB file that many processes share."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from llmattn.cache.batch import Half, checked_halves, key_counts, unknown, where_positions
from llmattn.cache.lmdb_bulk import load_pairs
from llmattn.cache.lmdb_chunks import chunked
from llmattn.cache.lmdb_file import prepare_folder
from llmattn.cache.lmdb_layout import ID_KEY
from llmattn.cache.lmdb_rows import (
    get_pairs,
    measure_pairs,
    put_pairs,
    scan_pairs,
)
from llmattn.cache.lmdb_spaces import Space, note_put, read_space
from llmattn.cache.lmdb_store import Replaced, Store, Transaction, acquire, release
from llmattn.cache.lmdb_swap import Contents
from llmattn.cache.lmdb_texts import (
    get_texts,
    live_texts,
    measure_texts,
    put_texts,
    scan_texts,
)
from llmattn.cache.protocol import NamespaceInfo, Pairs
from llmattn.cache.settings import LmdbSettings
from llmattn.cache.vocabulary import Interning, word_lists
from llmattn.errors import CacheError
from llmattn.identity import Identity
from llmattn.rows import Row, Scores
from llmattn.usage import Usage

__all__ = ["LmdbCache"]

T = TypeVar("T")


class LmdbCache:
    """Scores in ``scores.mdb`` inside the settings' folder.

    Pickling it carries the settings, and a forked child opens the file anew, so it may be
    handed to worker processes. Opening raises CacheError if the file cannot be used.
    """

    def __init__(self, settings: LmdbSettings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._path = prepare_folder(settings.dir)
        self._store: Store | None = self._open()
        self._open_for_use = True

    def __reduce__(self) -> tuple[Any, ...]:
        return LmdbCache, (self._settings,)

    @property
    def path(self) -> Path:
        """The data file."""
        return self._path

    def get(self, identity: Identity, rows: Sequence[Row]) -> list[Scores]:
        """See ``ScoreCache.get``."""
        texts = where_positions(identity, rows).tolist()

        def work(txn: Transaction, store: Store) -> list[Scores]:
            space = read_space(txn, store, identity.namespace)
            if space is None:
                return [unknown(identity, row) for row in rows]
            of_words = [row for row, text in zip(rows, texts, strict=True) if not text]
            of_texts = [row for row, text in zip(rows, texts, strict=True) if text]
            words = iter(get_pairs(txn, store, space.id, identity, of_words) if of_words else ())
            prefixes = iter(get_texts(txn, store, space.id, identity, of_texts) if of_texts else ())
            return [next(prefixes if text else words) for text in texts]

        return self._read(work)

    def put(
        self,
        identity: Identity,
        rows: Sequence[Row],
        scores: Sequence[Scores],
        usage: Usage = Usage(),
    ) -> None:
        """See ``ScoreCache.put``."""
        halves = checked_halves(identity, rows, scores)
        counts = key_counts(rows)
        texts = where_positions(identity, rows)
        known = ~np.isnan(halves[:, 0])
        if not known.any() and usage == Usage():
            return
        rows_known = _any_in_row(known, counts)
        jobs: list[tuple[Any, Sequence[Row], Half]] = []
        for kind, put in ((False, put_pairs), (True, put_texts)):
            chosen = (texts == kind) & rows_known
            if chosen.any() and chosen.all():
                jobs.append((put, rows, halves))
            elif chosen.any():
                part = [row for row, keep in zip(rows, chosen.tolist(), strict=True) if keep]
                jobs.append((put, part, halves[np.repeat(chosen, counts)]))

        def work(txn: Transaction, interning: Interning, store: Store) -> None:
            space = note_put(txn, store, identity, usage)
            for put, part, values in jobs:
                put(txn, store, interning, space.id, part, values)

        self._write(work)

    def scan(self, namespace: str) -> Iterator[tuple[Row, Scores]]:
        """See ``ScoreCache.scan``. Reads in portions: what is put meanwhile may be among it."""
        for portion in (scan_pairs, scan_texts):
            after: bytes | None = b""
            while after is not None:

                def work(
                    txn: Transaction, store: Store, after: bytes = after, portion: Any = portion
                ) -> tuple[list[tuple[Row, Scores]], bytes | None]:
                    space = read_space(txn, store, namespace)
                    if space is None:
                        return [], None
                    found: tuple[list[tuple[Row, Scores]], bytes | None] = portion(
                        txn, store, space.id, len(space.identity.channels), after
                    )
                    return found

                rows, after = self._read(work)
                yield from rows

    def get_pairs(self, identity: Identity, vocabulary: Sequence[str]) -> Pairs:
        """See ``BulkCache.get_pairs``."""
        channels = len(identity.channels)

        def work(txn: Transaction, store: Store) -> Pairs:
            space = read_space(txn, store, identity.namespace)
            if space is None:
                none = np.empty(0, np.int64)
                return none, none, np.empty((channels, 0), np.float16)
            return load_pairs(txn, store, space.id, channels, vocabulary)

        return self._read(work)

    def namespaces(self) -> list[NamespaceInfo]:
        """See ``ScoreCache.namespaces``."""

        def work(txn: Transaction, store: Store) -> list[NamespaceInfo]:
            listed = []
            for name, value in txn.cursor(store.namespaces):
                space = Space.from_json(bytes(value))
                channels = len(space.identity.channels)
                of_pairs = measure_pairs(txn, store, space.id, channels)
                of_texts = measure_texts(txn, store, space.id)
                rows, pairs, size = map(sum, zip(of_pairs, of_texts, strict=True))
                listed.append(
                    NamespaceInfo(
                        bytes(name).decode(),
                        space.identity,
                        rows,
                        pairs,
                        size,
                        space.created,
                        space.updated,
                        space.usage,
                    )
                )
            return listed

        listed = self._read(work, words=False, views=True)
        return sorted(listed, key=lambda info: (info.created, info.namespace))

    def purge(self, namespace: str) -> None:
        """See ``ScoreCache.purge``. The file keeps its size until it is compacted."""

        def work(txn: Transaction, _: Interning, store: Store) -> None:
            space = read_space(txn, store, namespace)
            if space is None:
                return
            for table in (store.pairs, store.texts, store.prefixes):
                cursor = txn.cursor(table)
                prefix = ID_KEY.pack(space.id)
                found = cursor.set_range(prefix)
                while found and cursor.key().startswith(prefix):
                    found = cursor.delete()
            txn.delete(namespace.encode(), db=store.namespaces)

        self._write(work)

    def compact(self) -> tuple[int, int]:
        """Write the file anew, packed and without what was purged, and swap it in.

        Safe while others read and write. Returns its size in bytes before and after.
        """
        before = self._path.stat().st_size
        done = False
        while not done:
            store = self._current()
            with suppress(Replaced):
                store.rewrite(partial(_packed, store=store))
                done = True
        return before, self._path.stat().st_size

    def close(self) -> None:
        """See ``ScoreCache.close``."""
        with self._lock:
            store, self._store = self._store, None
            self._open_for_use = False
        if store is not None:
            release(store)

    def _open(self) -> Store:
        settings = self._settings
        size = int(settings.map_size_gb * 2**30)
        return acquire(self._path, size, settings.sync, walked=settings.check_mb * 2**20)

    def _current(self) -> Store:
        """The open file: opened anew after a fork, or when compacting has swapped it."""
        store = self._store
        if store is not None and store.is_current():
            return store
        with self._lock:
            if not self._open_for_use:
                raise CacheError(f"The cache {self._path} was closed.")
            if self._store is None or not self._store.is_current():
                old, self._store = self._store, None
                if old is not None:
                    release(old)
                self._store = self._open()
            return self._store

    def _read(self, work: Callable[..., T], **how: bool) -> T:
        store = self._current()
        return store.read(partial(work, store=store), **how)

    def _write(self, work: Callable[..., T]) -> T:
        while True:
            store = self._current()
            with suppress(Replaced):
                return store.write(partial(work, store=store))


def _any_in_row(known: NDArray[np.bool_], counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows have a known pair, (R,)."""
    if not len(counts):
        return np.zeros(0, bool)
    starts = np.cumsum(counts) - counts
    return np.logical_or.reduceat(known, starts)


def _packed(txn: Transaction, store: Store) -> Contents:
    """Every record, packed: words in full lists, texts in full chunks and without old versions."""
    store.vocabulary.refresh(txn, store.tokens)
    texts, prefixes = chunked(live_texts(txn, store))
    return {
        **store.contents(txn),
        b"tokens": word_lists(store.vocabulary.words, 0),
        b"texts": texts,
        b"prefixes": prefixes,
    }
