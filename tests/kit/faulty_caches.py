"""Caches with one fault each: those in memory, and those in a file that processes share."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import tempfile
import threading
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from attrs import evolve
from kit.planted import planted
from llmattn.cache.memory import MemoryCache
from llmattn.cache.protocol import ScoreCache
from llmattn.cache.settings import MemorySettings
from llmattn.errors import CacheError
from llmattn.identity import Identity
from llmattn.rows import Row, Scores
from llmattn.testing.caches import check_cache
from llmattn.usage import Usage
from support_sqlite import SqliteCache, SqliteSettings


def in_memory(plugin: Any) -> None:
    check_cache(lambda: lambda: plugin(MemorySettings()), persistent=False)


def impatient(plugin: Any) -> None:
    check_cache(lambda: lambda: plugin(MemorySettings()), persistent=False, patience=2)


def in_a_file(plugin: Any) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as top:

        def fresh() -> Callable[[], ScoreCache]:
            folder = Path(tempfile.mkdtemp(dir=top))
            return lambda: plugin(SqliteSettings(dir=folder))

        check_cache(fresh)


class Memory(MemoryCache):
    """A sound cache, whose rows, scores and answers the faulty ones change."""

    def put(self, identity: Identity, rows: Any, scores: Any, usage: Usage = Usage()) -> None:
        super().put(identity, *self.given(identity, rows, scores), usage)

    def given(self, identity: Identity, rows: Any, scores: Any) -> tuple[Any, Any]:
        return rows, scores

    def _row(self, *given: Any) -> Any:
        return self.answer(given[-1], super()._row(*given))

    def answer(self, row: Row, values: Scores) -> Any:
        return values


@planted("a row is replaced, not merged", in_memory)
class Replaces(Memory):
    def given(self, identity: Identity, rows: Any, scores: Any) -> tuple[Any, Any]:
        space: Any = self._spaces.get(identity.namespace)
        for row in rows if space and identity.scope.value != "prefix" else ():
            space.pairs.pop(row.query, None)
        return rows, scores


@planted("a text is replaced, not merged", in_memory)
class ReplacesTexts(Memory):
    def given(self, identity: Identity, rows: Any, scores: Any) -> tuple[Any, Any]:
        space: Any = self._spaces.get(identity.namespace)
        for row in rows if space else ():
            space.texts.pop((*row.context, row.query), None)
        return rows, scores


@planted("the first value wins", in_memory)
class FirstWins(Memory):
    def given(self, identity: Identity, rows: Any, scores: Any) -> tuple[Any, Any]:
        known = self.get(identity, rows)
        pairs = zip(known, scores, strict=True)
        return rows, [s if k.shape != s.shape else np.where(np.isnan(k), s, k) for k, s in pairs]


@planted("the second of two equal rows is lost", in_memory)
class SecondLost(Memory):
    def given(self, identity: Identity, rows: Any, scores: Any) -> tuple[Any, Any]:
        first: dict[Any, Any] = {}
        for row, values in zip(rows, scores, strict=len(rows) == len(scores)):
            first.setdefault((row.query, row.context), (row, values))
        same = len(rows) == len(scores)
        return ([r for r, _ in first.values()], [s for _, s in first.values()]) if same else (
            rows, scores)  # fmt: skip


@planted("a NaN erases a known score", in_memory)
class NaNErases(Memory):
    def given(self, identity: Identity, rows: Any, scores: Any) -> tuple[Any, Any]:
        space: Any = self._spaces.get(identity.namespace)
        for row, values in zip(rows if space else (), scores, strict=False):
            for i in np.flatnonzero(np.isnan(values[0])):
                space.pairs.get(row.query, {}).pop(row.keys[i], None)
        return rows, scores


@planted("NaN is stored as 0", in_memory)
class NaNStored(Memory):
    def given(self, identity: Identity, rows: Any, scores: Any) -> tuple[Any, Any]:
        return rows, [np.nan_to_num(values, posinf=np.inf, neginf=-np.inf) for values in scores]


@planted("a pair with a NaN in one channel is stored", in_memory)
class HalfStored(Memory):
    def given(self, identity: Identity, rows: Any, scores: Any) -> tuple[Any, Any]:
        return rows, [
            np.where(np.isnan(v) & ~np.isnan(v).all(axis=0), 0, v) if v.ndim == 2 else v
            for v in scores
        ]


@planted("the keys are sorted in get", in_memory)
class SortsKeys(Memory):
    def answer(self, row: Row, values: Scores) -> Any:
        order = sorted(range(len(row.keys)), key=row.keys.__getitem__)
        return values[:, order] if not row.context else values


@planted("the channels are reversed in get", in_memory)
class ReversesGet(Memory):
    def answer(self, row: Row, values: Scores) -> Any:
        return values[::-1]


@planted("the channels are reversed in scan", in_memory)
class ReversesScan(Memory):
    def scan(self, namespace: str) -> Iterator[tuple[Row, Scores]]:
        for row, values in super().scan(namespace):
            yield row, values[::-1]


@planted("the keys are sorted in scan", in_memory)
class SortsScan(Memory):
    def scan(self, namespace: str) -> Iterator[tuple[Row, Scores]]:
        for row, values in super().scan(namespace):
            yield row if row.context else Row(row.query, sorted(row.keys)), values


@planted("scan gives a row for each key", in_memory)
class ScansPairs(Memory):
    def scan(self, namespace: str) -> Iterator[tuple[Row, Scores]]:
        for row, values in super().scan(namespace):
            if row.context:
                yield row, values
            else:
                yield from ((Row(row.query, (k,)), values[:, [i]]) for i, k in enumerate(row.keys))


@planted("get gives float16", in_memory)
class Halves(Memory):
    def answer(self, row: Row, values: Scores) -> Any:
        return values.astype(np.float16)


@planted("get gives 0 for what is unknown", in_memory)
class Zeros(Memory):
    def answer(self, row: Row, values: Scores) -> Any:
        return np.nan_to_num(values)


@planted("scores are kept as 8 bits", in_memory)
class Bytes(Memory):
    def answer(self, row: Row, values: Scores) -> Any:
        return (np.rint(values * 255) / 255).astype(np.float32)


@planted("purge leaves scores", in_memory)
class PurgeLeaves(Memory):
    def purge(self, namespace: str) -> None:
        space = self._spaces.get(namespace)
        if space:
            for found in list(space.pairs.values())[1:]:
                found.clear()


@planted("purge leaves the cost", in_memory)
class PurgeLeavesCost(Memory):
    def purge(self, namespace: str) -> None:
        if namespace in self._spaces:
            self._spaces[namespace].pairs.clear()
            self._spaces[namespace].texts.clear()


@planted("purge takes everything", in_memory)
class PurgesAll(Memory):
    def purge(self, namespace: str) -> None:
        self._spaces.clear()


@planted("the cost is not added up", in_memory)
class LastCost(Memory):
    def put(self, identity: Identity, rows: Any, scores: Any, usage: Usage = Usage()) -> None:
        super().put(identity, rows, scores, usage)
        if space := self._spaces.get(identity.namespace):
            space.info = evolve(space.info, usage=usage)


@planted("the cost of a put without rows is lost", in_memory)
class NoRowsNoCost(Memory):
    def put(self, identity: Identity, rows: Any, scores: Any, usage: Usage = Usage()) -> None:
        if len(rows) or len(scores):
            super().put(identity, rows, scores, usage)


@planted("namespaces() is in another order", in_memory)
class ByName(Memory):
    def namespaces(self) -> Any:
        return sorted(super().namespaces(), key=lambda info: info.namespace)


@planted("namespaces() has the newest first", in_memory)
class Newest(Memory):
    def namespaces(self) -> Any:
        return super().namespaces()[::-1]


@planted("namespaces() is in the order of the last change", in_memory)
class ByChange(Memory):
    def namespaces(self) -> Any:
        return sorted(super().namespaces(), key=lambda info: info.updated)


@planted("namespaces of a provider are mixed", in_memory)
class Mixed(Memory):
    def put(self, identity: Identity, *given: Any) -> None:
        super().put(evolve(identity, details={}), *given)

    def get(self, identity: Identity, rows: Sequence[Row]) -> Any:
        return super().get(evolve(identity, details={}), rows)


@planted("rows come backwards", in_memory)
class Backwards(Memory):
    def get(self, identity: Identity, rows: Sequence[Row]) -> Any:
        return super().get(identity, rows[::-1])[::-1] if len(rows) < 3 else [
            *super().get(identity, rows)][::-1]  # fmt: skip


class Folded(Memory):
    """Takes words that are alike for one."""

    def given(self, identity: Identity, rows: Any, scores: Any) -> tuple[Any, Any]:
        return [self.folded(row) for row in rows], scores

    def get(self, identity: Identity, rows: Sequence[Row]) -> Any:
        return super().get(identity, [self.folded(row) for row in rows])

    def folded(self, row: Row) -> Row:
        words = [self.word(word) or "-" for word in row.keys]
        context = [self.word(word) or "-" for word in row.context]
        return Row(self.word(row.query) or "-", words, context)

    def word(self, word: str) -> str:
        raise NotImplementedError


for _name, _fold in {
    "case": str.lower,
    "spaces": str.strip,
    "inner spaces": lambda word: " ".join(word.split()) or word,
    "normalisation": lambda word: unicodedata.normalize("NFC", word),
    "compatible forms": lambda word: unicodedata.normalize("NFKC", word),
    "what comes after 500 letters": lambda word: word[:500],
    "what UTF-8 cannot carry": lambda word: word.encode(errors="replace").decode(),
    "NUL": lambda word: word.replace("\0", ""),
    "leading zeros": lambda word: word.lstrip("0") if word.isascii() else word,
}.items():
    planted(f"words that differ in {_name} are one", in_memory)(
        type("Folds", (Folded,), {"word": lambda self, word, fold=_fold: fold(word)})
    )


class Joined(Memory):
    """Names a text by its words joined."""

    mark = ""

    def given(self, identity: Identity, rows: Any, scores: Any) -> tuple[Any, Any]:
        return [self.joined(row) for row in rows], scores

    def get(self, identity: Identity, rows: Sequence[Row]) -> Any:
        return super().get(identity, [self.joined(row) for row in rows])

    def joined(self, row: Row) -> Row:
        if not row.context:
            return row
        filling = ("-",) * (len(row.keys) - 1)
        words = (self.mark.join(row.keys), *filling)
        return Row(words[-1], words, words[:-1]) if len(words) > 1 else row


for _name, _mark in {"": "", " with spaces": " ", " with commas": ",", " with NUL": "\0"}.items():
    planted(f"texts that are equal when joined{_name} share a row", in_memory)(
        type("Joins", (Joined,), {"mark": _mark})
    )


@planted("texts share a row with the word they end with", in_memory)
class ByLastWord(Memory):
    def given(self, identity: Identity, rows: Any, scores: Any) -> tuple[Any, Any]:
        return [self.short(row) for row in rows], scores

    def get(self, identity: Identity, rows: Sequence[Row]) -> Any:
        return super().get(identity, [self.short(row) for row in rows])

    def short(self, row: Row) -> Row:
        words = ("-",) * (len(row.keys) - 1) + row.keys[-1:]
        return Row(words[-1], words, words[:-1]) if row.context else row


class Forgets(Memory):
    """Forgets the oldest rows beyond a number."""

    most = 0

    def put(self, identity: Identity, rows: Any, scores: Any, usage: Usage = Usage()) -> None:
        super().put(identity, rows, scores, usage)
        for space in self._spaces.values():
            for kept in (space.pairs, space.texts):
                for name in list(kept)[: max(0, len(kept) - self.most)]:
                    del kept[name]  # type: ignore[arg-type]


for _most in (90, 500, 1000, 2500):
    planted(f"rows past {_most} in all are forgotten", in_memory)(
        type("Few", (Forgets,), {"most": _most})
    )


@planted("scores past 200 of a put are forgotten", in_memory)
class Past200(Memory):
    def given(self, identity: Identity, rows: Any, scores: Any) -> tuple[Any, Any]:
        kept, left = [], 200
        for values in scores:
            here = values.copy()
            if here.ndim == 2 and not (np.abs(here - 0.5) > 0.5).any():
                here[:, max(left, 0) :] = np.nan
            left -= values.shape[-1]
            kept.append(here)
        return rows, kept


@planted("rows past 999 of a get are unknown", in_memory)
class Past999(Memory):
    def get(self, identity: Identity, rows: Sequence[Row]) -> Any:
        found = super().get(identity, rows)
        return [*found[:999], *(np.full_like(values, np.nan) for values in found[999:])]


class Unchecked(Memory):
    """Puts right what is wrong, in place of refusing it."""

    def given(self, identity: Identity, rows: Any, scores: Any) -> tuple[Any, Any]:
        shapes = [(len(identity.channels), len(row.keys)) for row in rows]
        return rows, [self.put_right(v, s) for v, s in zip(scores, shapes, strict=False)]

    def put_right(self, values: Any, shape: Any) -> Any:
        raise NotImplementedError


@planted("no ValueError for wrong shapes", in_memory)
class AnyShape(Unchecked):
    def put_right(self, values: Any, shape: Any) -> Any:
        return np.resize(values, shape) if values.shape != shape else values


@planted("no ValueError for values outside [0, 1]", in_memory)
class AnyValue(Unchecked):
    def put_right(self, values: Any, shape: Any) -> Any:
        return np.clip(values, 0, 1)


@planted("a score of 1.001 is taken for 1", in_memory)
class NearOne(Unchecked):
    def put_right(self, values: Any, shape: Any) -> Any:
        return np.where((values > 1) & (values < 1.01), np.float32(1), values)


@planted("infinite scores are taken as unknown", in_memory)
class InfIsNaN(Unchecked):
    def put_right(self, values: Any, shape: Any) -> Any:
        return np.where(np.isinf(values), np.float32(np.nan), values)


@planted("a TypeError for wrong shapes", in_memory)
class WrongError(Memory):
    def put(self, *given: Any) -> None:
        try:
            super().put(*given)
        except ValueError as error:
            raise TypeError(str(error)) from None


@planted("rows before a bad row are kept", in_memory)
class KeepsGood(Memory):
    def put(self, identity: Identity, rows: Any, scores: Any, usage: Usage = Usage()) -> None:
        for row, values in zip(rows, scores, strict=False):
            super().put(identity, [row], [values])
        super().put(identity, rows, scores, usage)


@planted("the cost of a refused put is kept", in_memory)
class KeepsCost(Memory):
    def put(self, identity: Identity, rows: Any, scores: Any, usage: Usage = Usage()) -> None:
        super().put(identity, [], [], usage)
        super().put(identity, rows, scores)


@planted("each row is a put of its own", in_memory)
class RowByRow(Memory):
    def put(self, identity: Identity, rows: Any, scores: Any, usage: Usage = Usage()) -> None:
        MemoryCache(MemorySettings()).put(identity, list(rows) and rows, scores)
        for row, values in zip(rows, scores, strict=True):
            super().put(identity, [row], [values])
        super().put(identity, [], [], usage)


@planted("the caller's arrays are kept", in_memory)
class KeepsArrays(Memory):
    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self.arrays: list[Any] = []

    def given(self, identity: Identity, rows: Any, scores: Any) -> tuple[Any, Any]:
        self.arrays = [scores]
        return rows, scores

    def answer(self, row: Row, values: Scores) -> Any:
        same = [v for v in self.arrays[-1] if v.shape == values.shape] if self.arrays else []
        return np.where(np.isnan(values), values, same[-1]) if same else values


@planted("no lock", in_memory)
class NoLock(Memory):
    def __init__(self, settings: MemorySettings) -> None:
        super().__init__(settings)
        self._lock: Any = contextlib.nullcontext()

    def given(self, identity: Identity, rows: Any, scores: Any) -> tuple[Any, Any]:
        known = self.get(identity, rows)
        threading.Event().wait(0.0001)
        pairs = zip(known, scores, strict=len(rows) == len(scores))
        return rows, [s if k.shape != s.shape else np.where(np.isnan(s), k, s) for k, s in pairs]

    def put(self, identity: Identity, rows: Any, scores: Any, usage: Usage = Usage()) -> None:
        space: Any = self._spaces.get(identity.namespace)
        before = space.info.usage if space else Usage()
        super().put(identity, rows, scores)
        if usage != Usage() or space:
            self._space(identity).info = evolve(self._space(identity).info, usage=before + usage)


@planted("a lock that is not given back after an error", impatient)
class KeepsLock(Memory):
    def put(self, *given: Any) -> None:
        self._lock.acquire()
        super().put(*given)
        self._lock.release()


class File(SqliteCache):
    """A sound cache in a file."""


@planted("usable from the opening thread only", in_a_file)
class OneThread(File):
    def __init__(self, settings: SqliteSettings) -> None:
        super().__init__(settings)
        self._db.close()
        self._db = sqlite3.connect(self._path)


@planted("a second opener is refused", in_a_file)
class SecondRefused(File):
    def __init__(self, settings: SqliteSettings) -> None:
        super().__init__(settings)
        try:
            (settings.dir / "lock").touch(exist_ok=False)
        except FileExistsError:
            raise CacheError("it is in use") from None

    def close(self) -> None:
        super().close()
        (self._path.parent / "lock").unlink(missing_ok=True)


class Stale(File):
    """Reads what it has read before."""

    def __init__(self, settings: SqliteSettings) -> None:
        super().__init__(settings)
        self._read: dict[Any, Any] = {}

    def get(self, identity: Identity, rows: Sequence[Row]) -> list[Scores]:
        found = []
        for row in rows:
            name = (identity, row)
            if name not in self._read:
                self._read[name] = super().get(identity, [row])[0]
            found.append(self._read[name].copy())
        return found

    def put(self, identity: Identity, *given: Any) -> None:
        self._read.clear()
        super().put(identity, *given)

    def purge(self, namespace: str) -> None:
        self._read.clear()
        super().purge(namespace)


planted("a second process's writes are unseen", in_a_file)(Stale)


@planted("written at close() only", in_a_file)
class AtClose(File):
    def __init__(self, settings: SqliteSettings) -> None:
        super().__init__(settings)
        self._waiting: MemoryCache = MemoryCache(MemorySettings())

    def put(self, *given: Any) -> None:
        self._waiting.put(*given)

    def get(self, identity: Identity, rows: Sequence[Row]) -> list[Scores]:
        pairs = zip(super().get(identity, rows), self._waiting.get(identity, rows), strict=True)
        return [np.where(np.isnan(new), old, new) for old, new in pairs]

    def scan(self, namespace: str) -> Iterator[tuple[Row, Scores]]:
        self._flush()
        yield from super().scan(namespace)

    def namespaces(self) -> Any:
        self._flush()
        return super().namespaces()

    def purge(self, namespace: str) -> None:
        self._flush()
        super().purge(namespace)

    def _flush(self) -> None:
        for info in self._waiting.namespaces():
            found = list(self._waiting.scan(info.namespace))
            super().put(info.identity, [r for r, _ in found], [s for _, s in found], info.usage)
        self._waiting.close()

    def close(self) -> None:
        with contextlib.suppress(CacheError):
            self._flush()
        super().close()


@planted("each row is a transaction", in_a_file)
class EachRow(File):
    def put(self, identity: Identity, rows: Any, scores: Any, usage: Usage = Usage()) -> None:
        MemoryCache(MemorySettings()).put(identity, rows, scores)
        for row, values in list(zip(rows, scores, strict=True)):
            super().put(identity, [row], [values])
        super().put(identity, [], [], usage)


@planted("the backend's own exceptions", in_a_file)
class OwnErrors(File):
    @contextlib.contextmanager
    def _using(self) -> Iterator[None]:
        with self._lock:
            yield


@planted("dir is not heeded", in_a_file)
class Elsewhere(File):
    @staticmethod
    def locate(settings: SqliteSettings) -> Path:
        top = settings.dir if "cache" in str(settings.dir) else settings.dir.parent
        return top / f"{settings.dir.stat().st_ino if settings.dir.is_dir() else 0}.sqlite"
