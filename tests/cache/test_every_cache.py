"""The same random calls on every cache, compared with a dictionary."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from llmattn.cache.memory import MemoryCache
from llmattn.cache.settings import MemorySettings
from llmattn.testing.caches import Opener, check_cache
from llmattn_redis.cache import RedisCache
from llmattn_redis.layered import LayeredCache
from llmattn_redis.settings import RedisLmdbSettings, RedisSettings
from support_cache import RedisServer, lmdb_cache


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.kill()


@pytest.fixture
def folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    yield folder
    shutil.rmtree(folder)


def test_lmdb_does_what_a_dictionary_does(folder: Path) -> None:
    def fresh() -> Opener:
        new = Path(tempfile.mkdtemp(dir=folder))
        return lambda: lmdb_cache(new, map_size_gb=1.0)

    check_cache(fresh)


def test_memory_does_what_a_dictionary_does() -> None:
    check_cache(lambda: lambda: MemoryCache(MemorySettings()), persistent=False)


def test_redis_does_what_a_dictionary_does(server: RedisServer) -> None:
    def fresh() -> Opener:
        server.flush()
        return lambda: RedisCache(RedisSettings(url=server.url))

    check_cache(fresh, examples=15)


def test_a_file_in_front_of_redis_does_what_a_dictionary_does(
    server: RedisServer, folder: Path
) -> None:
    def fresh() -> Opener:
        server.flush()
        new = Path(tempfile.mkdtemp(dir=folder))
        return lambda: LayeredCache(RedisLmdbSettings(url=server.url, dir=new))

    check_cache(fresh, examples=15)
