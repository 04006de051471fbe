"""The LMDB cache beside SQLite, diskcache and a Python dict, on the pairs of a real text.

    python benchmarks/cache.py CORPUS      (needs diskcache)

Pairs: every (query, key) of words that stand in one line, key not after query; scores random.
All stores get the same rows, whose words come from one vocabulary, as llmattn's own rows do;
they are asked for the rows of a text of 512 tokens, and for everything.
Each figure is the best of several runs, in nanoseconds a pair. All stores sync to the disk when
a put returns, as they do by default or can be told to.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import diskcache  # type: ignore[import-untyped]
import numpy as np
from llmattn.cache.lmdb.cache import LmdbCache
from llmattn.cache.settings import LmdbSettings
from llmattn.identity import Identity
from llmattn.rows import Row, Scope, pair_rows

IDENTITY = Identity("benchmark", 1, Scope.PAIR, ("score",))
TOKENS = 512
RUNS = 5
_ROW = "SELECT key, score FROM scores WHERE space = 1 AND query = ?"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python benchmarks/cache.py CORPUS")
    corpus = Path(sys.argv[1])
    lines = [
        [sys.intern(word) for word in re.findall(r"[\w']+|[^\w\s]", line.lower())]
        for line in corpus.open()
    ]
    rows = rows_of(lines)
    pairs = sum(len(row.keys) for row in rows)
    rng = np.random.default_rng(0)
    scores = [rng.random((1, len(row.keys)), dtype=np.float32) for row in rows]
    words = [word for line in lines for word in line]
    text = words[len(words) // 2 :][:TOKENS]
    print(f"{corpus.name}: {len(rows):,} queries, {pairs:,} pairs; a text of {len(text)} tokens")
    folder = Path(tempfile.mkdtemp(prefix="llmattn-benchmark-"))
    try:
        kinds: list[Any] = [Lmdb, Sqlite, Diskcache, Dictionary]
        stores = [[kind(folder / str(n), rows, scores) for n in range(RUNS)] for kind in kinds]
        report(stores, rows, pair_rows(text), pairs)
    finally:
        shutil.rmtree(folder)


def rows_of(lines: list[list[str]]) -> list[Row]:
    keys: dict[str, set[str]] = {}
    for line in lines:
        for i, query in enumerate(line):
            keys.setdefault(query, set()).update(line[: i + 1])
    return [Row(query, tuple(sorted(found))) for query, found in keys.items()]


class Lmdb:
    name = "llmattn (LMDB)"

    def __init__(self, folder: Path, rows: list[Row], scores: list[Any]) -> None:
        self.rows, self.scores, self.folder = rows, scores, folder / "lmdb"
        self.cache = LmdbCache(LmdbSettings(dir=self.folder))

    def put(self) -> None:
        self.cache.put(IDENTITY, self.rows, self.scores)

    def get(self, rows: list[Row]) -> list[Any]:
        return [scores[0] for scores in self.cache.get(IDENTITY, rows)]

    def load(self, vocabulary: list[str]) -> int:
        return len(self.cache.get_pairs(IDENTITY, vocabulary)[0])


class Sqlite:
    """WITHOUT ROWID: the smallest and fastest of the obvious tables. 1 is the namespace."""

    name = "SQLite (WAL)"

    def __init__(self, folder: Path, rows: list[Row], scores: list[Any]) -> None:
        self.folder = folder / "sqlite"
        self.folder.mkdir(parents=True)
        self.rows, self.scores = rows, scores
        self.db = sqlite3.connect(self.folder / "scores.db", isolation_level=None)
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute(
            "CREATE TABLE scores (space INTEGER, query TEXT, key TEXT, score REAL, "
            "PRIMARY KEY (space, query, key)) WITHOUT ROWID"
        )

    def put(self) -> None:
        self.db.execute("BEGIN")
        data = (
            (row.query, key, score)
            for row, values in zip(self.rows, self.scores, strict=True)
            for key, score in zip(row.keys, values[0].tolist(), strict=True)
        )
        self.db.executemany("INSERT OR REPLACE INTO scores VALUES (1, ?, ?, ?)", data)
        self.db.execute("COMMIT")
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def get(self, rows: list[Row]) -> list[Any]:
        """One prepared query a row, which is kinder to SQLite than one a pair."""
        return picked(rows, lambda query: dict(self.db.execute(_ROW, (query,))))

    def load(self, vocabulary: list[str]) -> int:
        index = {word: i for i, word in enumerate(vocabulary)}
        found = [
            (index[q], index[k], s)
            for q, k, s in self.db.execute("SELECT query, key, score FROM scores WHERE space = 1")
        ]
        columns = [np.array(column) for column in zip(*found, strict=True)]
        return len(columns[0])


class SqlitePairs(Sqlite):
    """The same table asked pair by pair."""

    name = "SQLite, pair by pair"

    def __init__(self, other: Sqlite) -> None:
        self.db, self.folder = other.db, other.folder

    def get(self, rows: list[Row]) -> list[Any]:
        ask = "SELECT score FROM scores WHERE space = 1 AND query = ? AND key = ?"
        found = [
            [self.db.execute(ask, (row.query, key)).fetchone() for key in row.keys] for row in rows
        ]
        return [np.array([one[0] if one else np.nan for one in row], np.float32) for row in found]


class Diskcache:
    """A row a key; a pair a key would be several times slower."""

    name = "diskcache, by row"

    def __init__(self, folder: Path, rows: list[Row], scores: list[Any]) -> None:
        self.rows, self.scores, self.folder = rows, scores, folder / "diskcache"
        self.cache = diskcache.Cache(str(self.folder), size_limit=1 << 40)

    def put(self) -> None:
        with self.cache.transact():
            for row, values in zip(self.rows, self.scores, strict=True):
                self.cache[row.query] = dict(zip(row.keys, values[0].tolist(), strict=True))

    def get(self, rows: list[Row]) -> list[Any]:
        return picked(rows, self.cache.get)

    def load(self, vocabulary: list[str]) -> int:
        return sum(len(self.cache[word]) for word in vocabulary)


class Dictionary:
    """In memory: what the others are up against."""

    name = "Python dict, in memory"
    folder = None

    def __init__(self, folder: Path, rows: list[Row], scores: list[Any]) -> None:
        self.rows, self.scores = rows, scores
        self.store: dict[str, dict[str, float]] = {}

    def put(self) -> None:
        for row, values in zip(self.rows, self.scores, strict=True):
            self.store[row.query] = dict(zip(row.keys, values[0].tolist(), strict=True))

    def get(self, rows: list[Row]) -> list[Any]:
        return picked(rows, self.store.get)

    def load(self, vocabulary: list[str]) -> int:
        index = {word: i for i, word in enumerate(vocabulary)}
        found = [(index[q], index[k], s) for q, row in self.store.items() for k, s in row.items()]
        columns = [np.array(column) for column in zip(*found, strict=True)]
        return len(columns[0])


def picked(rows: list[Row], get: Callable[[str], dict[str, float] | None]) -> list[Any]:
    found = ((row.keys, get(row.query) or {}) for row in rows)
    return [np.array([known.get(key, np.nan) for key in keys], np.float32) for keys, known in found]


def report(stores: list[list[Any]], rows: list[Row], asked: list[Row], pairs: int) -> None:
    vocabulary = sorted({row.query for row in rows})
    print(f"{'':24}{'bytes/pair':>12}{'put':>10}{'get':>10}{'load':>10}   (ns a pair)")
    figures = {}
    reference = None
    for alike in [*stores, [SqlitePairs(stores[1][0])]]:
        store = alike[0]
        put = size = load = float("nan")
        if len(alike) > 1:
            put = min(seconds(each.put, 1) for each in alike) / pairs
            size = disk_bytes(store.folder) / pairs
            load = seconds(partial(store.load, vocabulary), 5) / pairs
        runs = 20 if isinstance(store, Lmdb) else 2
        get = seconds(partial(store.get, asked), runs) / sum(len(row.keys) for row in asked)
        found = np.concatenate(store.get(asked))
        reference = found if reference is None else reference
        np.testing.assert_allclose(found, reference, atol=1e-3)
        figures[store.name] = (put, get)
        print(
            f"{store.name:24}{size:12.1f}" + "".join(f"{v * 1e9:10.1f}" for v in (put, get, load))
        )
    ours = figures[Lmdb.name]
    for name, (put, get) in figures.items():
        if name != Lmdb.name:
            print(f"{name}: put {put / ours[0]:.1f} times, get {get / ours[1]:.1f} times ours")
    cache = stores[0][0].cache
    batches = LmdbCache(LmdbSettings(dir=stores[0][0].folder.with_name("batches"), sync=False))
    for start in range(0, len(rows), 64):
        batches.put(IDENTITY, rows[start : start + 64], stores[0][0].scores[start : start + 64])
    size = disk_bytes(batches.path.parent) / pairs
    batches.compact()
    packed = disk_bytes(batches.path.parent) / pairs
    print(f"put 64 rows at a time: {size:.1f} bytes a pair, {packed:.1f} after compacting")
    cache.close()
    batches.close()


def seconds(work: Callable[[], object], runs: int) -> float:
    best = float("inf")
    for _ in range(runs):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def disk_bytes(folder: Path | None) -> float:
    if folder is None:
        return float("nan")
    files = [file for file in folder.rglob("*") if "lock" not in file.name]
    return sum(os.stat(file).st_blocks * 512 for file in files if file.is_file())


if __name__ == "__main__":
    main()
