"""One LMDB environment a file and process: transactions, growth, fork, sharing, swapping."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from llmattn.cache.lmdb.layout import DATABASES, ID_KEY, MOVED
from llmattn.cache.lmdb.opening import (
    Contents,
    Records,
    can_lock,
    check_file,
    is_read_only,
    open_environment,
    open_tables,
    swap_in,
    translated,
)
from llmattn.cache.lmdb.pages import ELSEWHERE, damaged_file, structure_problems
from llmattn.cache.lmdb.vocabulary import Interning, Vocabulary
from llmattn.cache.settings import LmdbSettings
from llmattn.errors import CacheDamaged, CacheError
from llmattn.locks import folder_lock

__all__ = [
    "Replaced",
    "Store",
    "Transaction",
    "acquire",
    "damaged",
    "records_of",
    "release",
]

T = TypeVar("T")
Transaction = Any
"""``lmdb.Transaction``, whose type stubs cannot be written down at run time."""


class Replaced(Exception):
    """The file was swapped for another (compacting does so): open it and do the work there."""


class _Changed(Exception):
    """The file was written while it was read by one whom the writer cannot see: read again."""


class Store:
    """An open environment, shared by every cache object of this process on the same file."""

    def __init__(self, path: Path, settings: LmdbSettings) -> None:
        self.path = path
        self.users = 0
        self.closed = False
        self._removed: str | None = None
        self.vocabulary = Vocabulary()
        self._gate = _Gate()
        with translated(path):
            # Not longer than this: a process that swaps the file waits for the lock, and
            # making the tables waits for that process.
            with folder_lock(path.parent):
                exists = check_file(path)
                size = int(settings.map_size_gb * 2**30)
                self.read_only = is_read_only(path)
                self._unseen = self.read_only and not can_lock(path)
                self._env = open_environment(
                    path, size, sync=settings.sync, exists=exists, read_only=self.read_only
                )
                self._file = _file_id(path)
            try:
                if exists and (problems := self.page_problems()):
                    raise damaged_file(path, problems[0])
                tables = open_tables(self._env, path)
                if not self._unseen:
                    self._env.reader_check()
            except BaseException:
                self._env.close()
                raise
        self._tables = tables
        self.meta, self.namespaces, self.tokens, self.pairs, self.texts, self.prefixes = tables

    def page_problems(self) -> list[str]:
        """What is wrong with the tree of pages, none of which LMDB has to read for that.

        It ends the process when it meets a page of zeros, such as a failing disk may leave, and
        believes whatever else a page says: so it is not given one before all have been looked at.
        """
        with self._env.begin():
            return structure_problems(self.path)

    def is_current(self) -> bool:
        """Whether it is open, and its path still names the same file (compacting swaps it)."""
        return not self.closed and _file_id(self.path) == self._file

    def read(
        self, work: Callable[[Transaction, Store], T], *, words: bool = True, views: bool = False
    ) -> T:
        """``work`` in a read transaction that ends with it.

        ``words``: know all words before. ``views``: the transaction gives views of the file
        instead of copies, for those who only look.
        """
        while True:
            with translated(self.path):
                try:
                    with self._gate.shared(), self._begin(views) as txn, self._unchanged(txn):
                        if words:
                            self.vocabulary.refresh(txn, self.tokens)
                        return work(txn, self)
                except _Changed:
                    continue
                except lmdb.MapResizedError:
                    self._resize(0)

    @contextmanager
    def _unchanged(self, txn: Transaction) -> Iterator[None]:
        """Of a reader that no writer sees: raises _Changed if pages may have been taken from it."""
        if not self._unseen:
            yield
            return
        try:
            yield
        finally:
            if self._env.info()["last_txnid"] != txn.id():
                raise _Changed

    def _begin(self, views: bool) -> Transaction:
        return self._env.begin(buffers=True) if views else self._env.begin()

    def write(self, work: Callable[[Transaction, Store, Interning], T]) -> T:
        """``work`` with ids for new words, in a write transaction, durable on return.

        It is done anew in a larger map if the map is full, so it may run more than once.
        Raises Replaced if the file was swapped while waiting for its turn.
        """
        self._check_writable()
        vocabulary = self.vocabulary
        while True:
            with translated(self.path):
                try:
                    with self._gate.shared():
                        size = self._env.info()["map_size"]
                        with self._env.begin(write=True) as txn:
                            if not self.is_current():
                                raise Replaced
                            vocabulary.refresh(txn, self.tokens)
                            interning = vocabulary.begin()
                            answer = work(txn, self, interning)
                            vocabulary.save(txn, self.tokens, interning)
                        vocabulary.commit(interning)
                        return answer
                except lmdb.MapFullError:
                    self._resize(2 * size)
                except lmdb.MapResizedError:
                    self._resize(0)

    def rewrite(self, contents: Callable[[Transaction, Store], Contents]) -> None:
        """Put a new file with ``contents`` in the place of this one, which ends its use.

        Other processes go on reading the old file, and open the new one at their next call;
        their writes wait until the swap is done. Raises Replaced like :meth:`write`.
        """
        self._check_writable()
        with translated(self.path), self._gate.shared(), self._env.begin(write=True) as txn:
            try:
                if not self.is_current():
                    raise Replaced
                swap_in(self.path, contents(txn, self))
            except BaseException:
                txn.abort()
                raise
            with suppress(lmdb.Error):
                # Whoever has the old file open learns that its records are in another one.
                txn.put(MOVED, b"1", db=self.meta)
                txn.commit()

    def check_removed(self) -> None:
        """Raise CacheError if the file is not at its path any more, and nobody has moved its
        records to another one: what was stored since it was opened is lost.
        """
        if self.read_only:
            return
        if self._removed is None and not (self.closed or self.is_current()):
            self._removed = "" if self._was_moved() else self._what_happened()
        if self._removed:
            raise CacheError(self._removed)

    def _was_moved(self) -> bool:
        # To write, so that whoever moves the records just now has come to the end of it.
        with (
            translated(self.path),
            self._gate.shared(),
            self._env.begin(write=not self.read_only) as txn,
        ):
            return txn.get(MOVED, db=self.meta) is not None

    def _what_happened(self) -> str:
        what = "replaced by another file" if self.path.exists() else "removed"
        return (
            f"{self.path} was {what} while it was in use: what it held, also what was scored since "
            "then, is not at its place any more. Put the file back if you have it; else the same "
            "command asks for those scores again."
        )

    def _check_writable(self) -> None:
        if self.read_only:
            raise CacheError(f"{self.path} can be read, but not written; {ELSEWHERE}.")

    def contents(self, txn: Transaction) -> Contents:
        """Every record of the file, in order, by database."""
        return {
            name: txn.cursor(table).iternext()
            for name, table in zip(DATABASES, self._tables, strict=True)
        }

    def _resize(self, size: int) -> None:
        """Grow the map to ``size`` bytes while no transaction is open; 0 takes what another
        process has set.
        """
        with self._gate.exclusive():
            if size == 0 or self._env.info()["map_size"] < size:
                self._env.set_mapsize(size)

    def close(self) -> None:
        """Close the environment once no transaction of this process is open."""
        with self._gate.exclusive():
            self.closed = True
            self._env.close()


class _Gate:
    """Transactions share it; growing, closing and forking have it alone."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._inside = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._condition:
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._inside -= 1
                self._condition.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._condition:
            self._condition.wait_for(lambda: not self._inside)
            yield


def records_of(txn: Transaction, table: Any, space: int, start: bytes = b"") -> Records:
    """What ``table`` holds of a namespace, from the key ``start`` on."""
    cursor = txn.cursor(table)
    if not cursor.set_range(start or ID_KEY.pack(space)):
        return iter(())
    return takewhile((ID_KEY.pack(space + 1),).__gt__, cursor)  # of tuples the keys come first


def damaged(what: str = "") -> CacheDamaged:
    """For a record whose checksum is wrong; ``what`` tells which one it is."""
    shown = f" ({what})" if what else ""
    return CacheDamaged(
        f"The cache has a damaged record{shown}. Save what is good by: llmattn cache verify --drop"
    )


def _file_id(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


_stores: dict[Path, Store] = {}
_registry_lock = threading.RLock()
_forking: list[Any] = []


def acquire(path: Path, settings: LmdbSettings) -> Store:
    """The store of ``path`` in this process, opened if need be; give it back by :func:`release`."""
    with _registry_lock:
        store = _stores.get(path)
        if store is not None and not store.is_current():
            del _stores[path]
            if not store.closed:
                with suppress(CacheError):
                    store.check_removed()  # now, for those who use it: later it cannot be told
                store.close()
            store = None
        if store is None:
            store = _stores[path] = Store(path, settings)
        store.users += 1
        return store


def release(store: Store) -> None:
    """Close the store when its last user has given it back."""
    with _registry_lock:
        store.users -= 1
        if store.users == 0 and not store.closed:
            store.close()
            if _stores.get(store.path) is store:
                del _stores[store.path]


def _before_fork() -> None:
    _registry_lock.acquire()
    for store in _stores.values():
        gate = store._gate.exclusive()
        gate.__enter__()
        _forking.append(gate)


def _after_fork_in_parent() -> None:
    while _forking:
        _forking.pop().__exit__(None, None, None)
    _registry_lock.release()


def _after_fork_in_child() -> None:
    """A child must not use what it inherits: close it; users open anew when they need it."""
    for store in _stores.values():
        store.closed = True
        store._env.close()
    _stores.clear()
    _after_fork_in_parent()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_before_fork,
        after_in_parent=_after_fork_in_parent,
        after_in_child=_after_fork_in_child,
    )
