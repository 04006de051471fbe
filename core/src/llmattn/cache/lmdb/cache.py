"""The cache itself: each call is one transaction, in the file as it is at the moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from llmattn.cache.checks import Half, checked_halves, key_counts, nothing_known, where_positions
from llmattn.cache.claims import FolderClaims
from llmattn.cache.lmdb.layout import (
    ID_KEY,
    PAIR_KEY,
    PLACE,
    SEALED,
    Space,
)
from llmattn.cache.lmdb.opening import FILE_NAME, Contents, prepare_folder
from llmattn.cache.lmdb.pairs import get_pairs, load_pairs, put_pairs, scan_pairs
from llmattn.cache.lmdb.spaces import note_put, read_space, spaces
from llmattn.cache.lmdb.store import Replaced, Store, Transaction, acquire, release
from llmattn.cache.lmdb.texts import chunked, get_texts, live_texts, put_texts, scan_texts
from llmattn.cache.lmdb.verify import verify_file
from llmattn.cache.lmdb.vocabulary import Interning, word_lists
from llmattn.cache.protocol import Claims, NamespaceInfo, Pairs, VerifyReport
from llmattn.cache.settings import LmdbSettings
from llmattn.errors import CacheError
from llmattn.identity import Identity
from llmattn.paths import user_path
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
        self._store: Store | None = acquire(self._path, settings)
        self._open_for_use = True
        self._has_put = False

    def __reduce__(self) -> tuple[Any, ...]:
        return LmdbCache, (self._settings,)

    @property
    def path(self) -> Path:
        """See ``FileCache.path``."""
        return self._path

    @property
    def read_only(self) -> bool:
        """See ``MaybeReadOnly.read_only``."""
        return self._current().read_only

    def get(self, identity: Identity, rows: Sequence[Row]) -> list[Scores]:
        """See ``ScoreCache.get``."""
        texts = where_positions(identity, rows).tolist()

        def work(txn: Transaction, store: Store, space: Space) -> list[Scores]:
            of_words = [row for row, text in zip(rows, texts, strict=True) if not text]
            of_texts = [row for row, text in zip(rows, texts, strict=True) if text]
            words = iter(get_pairs(txn, store, space, of_words) if of_words else ())
            prefixes = iter(get_texts(txn, store, space, of_texts) if of_texts else ())
            return [next(prefixes if text else words) for text in texts]

        found = self._read(identity.namespace, work)
        return [nothing_known(identity, row) for row in rows] if found is None else found

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

        def work(txn: Transaction, store: Store, interning: Interning) -> None:
            space = note_put(txn, store, identity, usage)
            for put, part, values in jobs:
                put(txn, store, interning, space, part, values)

        self._write(work)
        self._has_put = True

    def scan(self, namespace: str) -> Iterator[tuple[Row, Scores]]:
        """See ``ScoreCache.scan``. Reads in portions: what is put meanwhile may be among it."""
        for portion in (scan_pairs, scan_texts):
            after: bytes | None = b""
            while after is not None:
                found = self._read(namespace, partial(portion, after=after))
                rows, after = found or ([], None)
                yield from rows

    def get_pairs(self, identity: Identity, vocabulary: Sequence[str]) -> Pairs:
        """See ``BulkCache.get_pairs``."""
        found = self._read(identity.namespace, partial(load_pairs, vocabulary=vocabulary))
        if found is None:
            none = np.empty(0, np.int64)
            return none, none, np.empty((len(identity.channels), 0), np.float16)
        return found

    def namespaces(self) -> list[NamespaceInfo]:
        """See ``ScoreCache.namespaces``."""

        def work(txn: Transaction, store: Store) -> list[NamespaceInfo]:
            return [_measured(txn, store, space) for space in spaces(txn, store)]

        listed = self._current().read(work, words=False, views=True)
        return sorted(listed, key=lambda info: (info.created, info.namespace))

    def purge(self, namespace: str) -> None:
        """See ``ScoreCache.purge``. The file keeps its size until it is compacted."""

        def work(txn: Transaction, store: Store, _: Interning) -> None:
            space = read_space(txn, store, namespace)
            if space is None:
                return
            prefix = ID_KEY.pack(space.id)
            for table in (store.pairs, store.texts, store.prefixes):
                cursor = txn.cursor(table)
                found = cursor.set_range(prefix)
                while found and cursor.key().startswith(prefix):
                    found = cursor.delete()
            txn.delete(namespace.encode(), db=store.namespaces)

        self._write(work)

    def claims(self) -> Claims:
        """See ``SharedCache.claims``: in a folder beside the file."""
        return FolderClaims(self._path.parent / "claims")

    def compact(self) -> tuple[int, int]:
        """See ``FileCache.compact``. Writes the file anew, and swaps it in."""
        before = self._path.stat().st_size
        self._until_done(lambda store: store.rewrite(_packed))
        return before, self._path.stat().st_size

    @staticmethod
    def locate(settings: LmdbSettings) -> Path:
        """See ``FileCache.locate``."""
        return user_path(settings.dir) / FILE_NAME

    @staticmethod
    def verify(settings: LmdbSettings, *, drop: bool = False) -> VerifyReport:
        """See ``FileCache.verify``."""
        folder = user_path(settings.dir).resolve()
        return verify_file(folder / FILE_NAME, settings, drop=drop)

    def close(self) -> None:
        """See ``ScoreCache.close``."""
        with self._lock:
            store, self._store = self._store, None
            self._open_for_use = False
        if store is None:
            return
        try:
            if self._has_put:
                store.check_removed()
        finally:
            release(store)

    def _current(self) -> Store:
        """The open file: opened anew after a fork, or when compacting has swapped it."""
        store = self._store
        if store is not None and store.is_current():
            return store
        with self._lock:
            if not self._open_for_use:
                raise CacheError(f"The cache {self._path} was closed.")
            if self._store is None or not self._store.is_current():
                if self._store is not None:
                    self._store.check_removed()
                old, self._store = self._store, None
                if old is not None:
                    release(old)
                self._store = acquire(self._path, self._settings)
            return self._store

    def _read(self, namespace: str, work: Callable[[Transaction, Store, Space], T]) -> T | None:
        """What ``work`` finds of a namespace; None if that is not there."""

        def reading(txn: Transaction, store: Store) -> T | None:
            space = read_space(txn, store, namespace)
            return None if space is None else work(txn, store, space)

        return self._current().read(reading)

    def _write(self, work: Callable[[Transaction, Store, Interning], None]) -> None:
        self._until_done(lambda store: store.write(work))

    def _until_done(self, work: Callable[[Store], None]) -> None:
        """``work``, done anew in another file if the file was swapped for that meanwhile."""
        done = False
        while not done:
            store = self._current()
            with suppress(Replaced):
                work(store)
                done = True


def _any_in_row(known: NDArray[np.bool_], counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which rows have a known pair, (R,)."""
    if not len(counts):
        return np.zeros(0, bool)
    starts = np.cumsum(counts) - counts
    return np.logical_or.reduceat(known, starts)


def _measured(txn: Transaction, store: Store, space: Space) -> NamespaceInfo:
    """A namespace, with all positions of its texts, known or not, counted as pairs."""
    rows = pairs = size = 0
    last = b""
    prefix, width = ID_KEY.pack(space.id), 2 + 2 * space.channels
    for table in (store.pairs, store.texts, store.prefixes):
        cursor = txn.cursor(table)
        for view, value in cursor if cursor.set_range(prefix) else ():
            key = bytes(view)
            if not key.startswith(prefix):
                break
            size += len(key) + len(value)
            if table is store.pairs:
                query = key[: PAIR_KEY.size - 2]
                rows += query != last  # several values may hold the row of one query
                last = query
                pairs += (len(value) - SEALED) // width
            elif table is store.prefixes:
                rows += 1
                pairs += PLACE.unpack(value)[2]
    identity = space.identity
    return NamespaceInfo(
        identity.namespace, identity, rows, pairs, size, space.created, space.updated, space.usage
    )


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
