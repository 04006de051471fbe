"""One LMDB environment a file and process: opening, transactions, growth, fork, sharing."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import lmdb

from llmattn.cache.lmdb_file import ELSEWHERE, check_file
from llmattn.cache.lmdb_layout import DATABASES, LAYOUT
from llmattn.cache.vocabulary import Vocabulary
from llmattn.errors import CacheError

__all__ = ["Replaced", "Store", "Transaction", "acquire", "release", "translated"]

T = TypeVar("T")
Transaction = Any
"""``lmdb.Transaction``, whose type stubs cannot be written down at run time."""

_MAX_READERS = 1024
_SMALLER = (1, 8, 64, 512)
"""Divisors of the map size, tried in turn where the address space is limited."""


class Replaced(Exception):
    """The file was swapped for another (compacting does so): open it and do the work there."""


class Store:
    """An open environment, shared by every cache object of this process on the same file."""

    def __init__(self, path: Path, map_size: int, sync: bool) -> None:
        self.path = path
        self.users = 0
        self.closed = False
        self.vocabulary = Vocabulary()
        self._gate = _Gate()
        with translated(path):
            self._env = _open(path, map_size, sync, check_file(path))
            try:
                tables = _open_tables(self._env, path)
                self._env.reader_check()
                self._file = _file_id(path)
            except BaseException:
                self._env.close()
                raise
        self.meta, self.namespaces, self.tokens, self.pairs, self.prefixes = tables

    def is_current(self) -> bool:
        """Whether it is open, and its path still names the same file (compacting swaps it)."""
        return not self.closed and _file_id(self.path) == self._file

    def read(self, work: Callable[[Transaction], T]) -> T:
        """``work`` in a read transaction that ends with it."""
        while True:
            with translated(self.path):
                try:
                    with self._gate.shared(), self._env.begin() as txn:
                        self.vocabulary.refresh(txn, self.tokens)
                        return work(txn)
                except lmdb.MapResizedError:
                    self._resize(0)

    def write(self, work: Callable[[Transaction], T]) -> T:
        """``work`` in a write transaction, durable on return.

        It is done anew in a larger map if the map is full, so it may run more than once.
        Raises Replaced if the file was swapped while waiting for its turn.
        """
        vocabulary = self.vocabulary
        while True:
            with translated(self.path):
                size = self._env.info()["map_size"]
                try:
                    with self._gate.shared():
                        with self._env.begin(write=True) as txn:
                            if not self.is_current():
                                raise Replaced
                            vocabulary.refresh(txn, self.tokens)
                            new = vocabulary.begin()
                            answer = work(txn)
                            vocabulary.save(txn, self.tokens, new)
                        vocabulary.commit(new)
                        return answer
                except lmdb.MapFullError:
                    self._resize(2 * size)
                except lmdb.MapResizedError:
                    self._resize(0)

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


def _file_id(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _open(path: Path, map_size: int, sync: bool, exists: bool) -> lmdb.Environment:
    """The environment, of LMDB 0.9's format if it is new."""
    version: dict[str, Any] = {} if exists else {"lib_version": 0}
    for divisor in _SMALLER:
        with suppress(lmdb.MemoryError):
            return lmdb.open(
                str(path),
                map_size=map_size // divisor,
                subdir=False,
                mode=0o600,
                sync=sync,
                max_readers=_MAX_READERS,
                max_dbs=len(DATABASES),
                **version,
            )
    raise CacheError(
        f"There is no address space to map {path}; raise the limit (ulimit -v) or set a smaller "
        "map with the option lmdb.map_size_gb."
    )


def _open_tables(env: lmdb.Environment, path: Path) -> list[Any]:
    """Handles of the databases, made if the file is new.

    Raises CacheError if the file is another program's, or of another layout.
    """
    if env.stat()["entries"] == 0:
        with env.begin(write=True) as txn:
            tables: list[Any] = [env.open_db(name, txn=txn) for name in DATABASES]
            txn.put(b"layout", str(LAYOUT).encode(), db=tables[0], overwrite=False)
        return tables
    try:
        tables = [env.open_db(name, create=False) for name in DATABASES]
        with env.begin() as txn:
            layout = txn.get(b"layout", db=tables[0])
    except lmdb.NotFoundError:
        layout = None
    if layout is None:
        raise CacheError(f"{path} is another program's LMDB file; move it away, or {ELSEWHERE}.")
    if bytes(layout) != str(LAYOUT).encode():
        shown = bytes(layout).decode("ascii", "replace")
        raise CacheError(
            f"{path} has the layout {shown}, and this llmattn reads layout {LAYOUT}: upgrade "
            f"llmattn-core, or {ELSEWHERE}."
        )
    return tables


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Turn what LMDB and the operating system say about ``path`` into a CacheError."""
    try:
        yield
    except (lmdb.MapFullError, lmdb.MapResizedError):
        raise
    except lmdb.DiskError:
        raise CacheError(
            f"The disk of {path} is full; what was stored before is safe. Free some space, "
            f"or {ELSEWHERE}."
        ) from None
    except lmdb.ReadersFullError:
        raise CacheError(
            f"{path} is read by too many processes at once ({_MAX_READERS}); end some."
        ) from None
    except (
        lmdb.CorruptedError,
        lmdb.PageNotFoundError,
        lmdb.InvalidError,
        lmdb.PanicError,
    ) as error:
        raise CacheError(
            f"{path} is damaged ({error}). Run: llmattn cache verify --cache-dir {path.parent}"
        ) from None
    except (lmdb.Error, OSError) as error:
        raise CacheError(f"{_explain(path, error)}; {ELSEWHERE}.") from None


def _explain(path: Path, error: Exception) -> str:
    text = str(error)
    if "No locks available" in text or "not supported" in text or "not implemented" in text:
        return (
            f"The file system of {path.parent} has no file locks ({text}), as on some network "
            "drives, and a cache needs them"
        )
    return f"The cache {path} cannot be used ({text})"


_stores: dict[Path, Store] = {}
_registry_lock = threading.RLock()
_forking: list[Any] = []


def acquire(path: Path, map_size: int, sync: bool) -> Store:
    """The store of ``path`` in this process, opened if need be; give it back by :func:`release`."""
    with _registry_lock:
        store = _stores.get(path)
        if store is not None and not store.is_current():
            del _stores[path]
            if not store.closed:
                store.close()
            store = None
        if store is None:
            store = _stores[path] = Store(path, map_size, sync)
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
