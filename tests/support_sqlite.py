"""A cache as somebody else might write it: one SQLite file, with all that ``FileCache`` asks."""

from __future__ import annotations

import json
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from attrs import asdict, frozen
from llmattn.cache.checks import checked_halves, has_positions
from llmattn.cache.protocol import NamespaceInfo, VerifyReport
from llmattn.errors import CacheError
from llmattn.hookspecs import hookimpl
from llmattn.identity import Identity
from llmattn.registry import CacheRegistry
from llmattn.rows import Row, Scores
from llmattn.settings import setting
from llmattn.usage import Usage

_TABLES = """
CREATE TABLE IF NOT EXISTS spaces (name TEXT PRIMARY KEY, identity, created, updated, usage);
CREATE TABLE IF NOT EXISTS scores (space, words, key, value, PRIMARY KEY (space, words, key));
"""


@frozen
class SqliteSettings:
    dir: Path = setting(Path("."), help="folder of the file")


class SqliteCache:
    """Scores by the words of a row and a key or position."""

    def __init__(self, settings: SqliteSettings) -> None:
        self._path = self.locate(settings)
        self._lock = threading.RLock()
        with self._using():
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(self._path, check_same_thread=False)
            self._db.executescript(_TABLES)

    @contextmanager
    def _using(self) -> Iterator[None]:
        """One thread at a time, and errors in our words."""
        try:
            with self._lock:
                yield
        except (sqlite3.Error, OSError) as error:
            raise CacheError(f"The cache {self._path} cannot be used: {error}") from error

    @property
    def path(self) -> Path:
        return self._path

    @staticmethod
    def locate(settings: SqliteSettings) -> Path:
        return settings.dir / "scores.sqlite"

    @staticmethod
    def verify(settings: SqliteSettings, *, drop: bool = False) -> VerifyReport:
        report = VerifyReport(SqliteCache.locate(settings))
        if not report.path.exists():
            raise CacheError(f"There is no cache in {settings.dir}.")
        db = sqlite3.connect(report.path)
        try:
            found = [text for (text,) in db.execute("PRAGMA integrity_check")]
            report.problems = [] if found == ["ok"] else found
            report.records = int(db.execute("SELECT count(*) FROM scores").fetchone()[0])
        except sqlite3.DatabaseError as error:
            report.problems.append(str(error))
        db.close()
        if report.problems and drop:
            report.kept_copy = report.path.with_suffix(".damaged")
            shutil.move(report.path, report.kept_copy)
            SqliteCache(settings).close()
        return report

    def get(self, identity: Identity, rows: Sequence[Row]) -> list[Scores]:
        nothing = np.full(len(identity.channels), np.nan, "<f2").tobytes()
        answers = []
        for row in rows:
            words, keys = _words(identity, row)
            with self._using():
                found = dict(
                    self._db.execute(
                        "SELECT key, value FROM scores WHERE space = ? AND words = ?",
                        (identity.namespace, words),
                    )
                )
            values = b"".join(found.get(key, nothing) for key in keys)
            halves = np.frombuffer(values, "<f2").reshape(len(keys), -1)
            answers.append(halves.T.astype(np.float32))
        return answers

    def put(
        self,
        identity: Identity,
        rows: Sequence[Row],
        scores: Sequence[Scores],
        usage: Usage = Usage(),
    ) -> None:
        halves = checked_halves(identity, rows, scores)
        named = (_words(identity, row) for row in rows)
        names = [(words, key) for words, keys in named for key in keys]
        records = [
            (identity.namespace, *name, values.astype("<f2").tobytes())
            for name, values in zip(names, halves, strict=True)
            if not np.isnan(values[0])
        ]
        if not records and usage == Usage():
            return
        about = json.dumps(identity.to_dict())
        with self._using(), self._db as db:
            row = db.execute(
                "SELECT created, usage FROM spaces WHERE name = ?", (identity.namespace,)
            ).fetchone()
            created, before = row or (time.time(), "{}")
            total = json.dumps(asdict(Usage(**json.loads(before)) + usage))
            db.execute(
                "INSERT OR REPLACE INTO spaces VALUES (?, ?, ?, ?, ?)",
                (identity.namespace, about, created, time.time(), total),
            )
            db.executemany("INSERT OR REPLACE INTO scores VALUES (?, ?, ?, ?)", records)

    def scan(self, namespace: str) -> Iterator[tuple[Row, Scores]]:
        identities = {info.namespace: info.identity for info in self.namespaces()}
        with self._using():
            everything = "SELECT DISTINCT words FROM scores WHERE space = ?"
            listed = self._db.execute(everything, (namespace,)).fetchall()
        for (text,) in listed:
            words = json.loads(text)
            if len(words) == 2:
                with self._using():
                    keys_of = "SELECT key FROM scores WHERE space = ? AND words = ?"
                    found = self._db.execute(keys_of, (namespace, text)).fetchall()
                row = Row(words[0], [json.loads(key) for (key,) in found])
            else:
                (words,) = words
                row = Row(words[-1], words, words[:-1])
            yield row, self.get(identities[namespace], [row])[0]

    def namespaces(self) -> list[NamespaceInfo]:
        listed = []
        with self._using():
            spaces = self._db.execute("SELECT * FROM spaces").fetchall()
            count = "SELECT count(DISTINCT words), count(*) FROM scores WHERE space = ?"
            for name, identity, created, updated, usage in spaces:
                rows, pairs = self._db.execute(count, (name,)).fetchone()
                about = Identity.from_dict(json.loads(identity))
                spent = Usage(**json.loads(usage))
                listed.append(NamespaceInfo(name, about, rows, pairs, 0, created, updated, spent))
        return sorted(listed, key=lambda info: info.created)

    def purge(self, namespace: str) -> None:
        with self._using(), self._db as db:
            db.execute("DELETE FROM spaces WHERE name = ?", (namespace,))
            db.execute("DELETE FROM scores WHERE space = ?", (namespace,))

    def compact(self) -> tuple[int, int]:
        before = self._path.stat().st_size
        self._db.execute("VACUUM")
        return before, self._path.stat().st_size

    def close(self) -> None:
        self._db.close()


def _words(identity: Identity, row: Row) -> tuple[str, list[str]]:
    """The name of a row, and those of its keys: JSON, so that any string survives."""
    if has_positions(identity, row):
        return json.dumps([row.keys]), [str(i) for i in range(len(row.keys))]
    return json.dumps([row.query, ""]), [json.dumps(key) for key in row.keys]


@hookimpl
def llmattn_register_caches(registry: CacheRegistry) -> None:
    registry.add("sqlite", SqliteCache, SqliteSettings, "one SQLite file")
