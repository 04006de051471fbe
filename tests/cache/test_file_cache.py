"""What the commands need of a cache in a file: any may offer it, the others are told apart."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import support_sqlite
from llmattn.cache.lmdb.cache import LmdbCache
from llmattn.cache.protocol import VerifyReport
from llmattn.cache.settings import LmdbSettings
from llmattn.feeds.packed_folder import forget_packed, packed_folder
from llmattn.testing.caches import check_cache, check_file_cache
from llmattn_redis.layered import LayeredCache
from llmattn_redis.settings import RedisLmdbSettings
from support_cache import PAIR, many_rows, scored
from support_cli import FAILED, run_cli
from support_plugins import install, run
from support_sqlite import SqliteCache, SqliteSettings

ROWS = many_rows(20, 10)
NOWHERE = "redis://127.0.0.1:1/0"


def test_the_lmdb_file_passes_the_test_of_a_file(tmp_path: Path) -> None:
    check_file_cache(LmdbCache, LmdbSettings(dir=tmp_path / "cache"))


def test_somebody_elses_file_passes_both_tests(tmp_path: Path) -> None:
    numbers = iter(range(10_000))

    def fresh() -> Callable[[], SqliteCache]:
        settings = SqliteSettings(dir=tmp_path / str(next(numbers)))
        return lambda: SqliteCache(settings)

    check_cache(fresh, examples=8)
    check_file_cache(SqliteCache, SqliteSettings(dir=tmp_path / "file"))


class Careless(SqliteCache):
    """Says of every file that it is well."""

    @staticmethod
    def verify(settings: SqliteSettings, *, drop: bool = False) -> VerifyReport:
        report = SqliteCache.verify(settings, drop=drop)
        report.problems.clear()
        return report


def test_a_file_whose_damage_is_not_found_fails_the_test(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="damage is not found"):
        check_file_cache(Careless, SqliteSettings(dir=tmp_path))


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A place where the SQLite cache is installed as a plugin."""
    code = Path(support_sqlite.__file__).read_text()
    install(tmp_path / "site", "llmattn-sqlite", "sqlite", code)
    return tmp_path / "site"


def test_path_compact_and_verify_work_on_somebody_elses_file(site: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    cache = SqliteCache(SqliteSettings(dir=folder))
    cache.put(PAIR, ROWS, scored(ROWS))
    cache.close()
    where = ("--cache", "sqlite", "--cache-dir", str(folder))
    assert run(site, "cache", "path", *where).stdout == f"{folder}/scores.sqlite\n"
    assert "now" in run(site, "cache", "compact", *where).stdout
    assert "200 records, all well" in run(site, "cache", "verify", *where).stdout
    assert f"{folder}/scores.sqlite: " in run(site, "cache", "stats", *where).stdout
    assert "llmattn cache compact" in run(site, "cache", "purge", "paid", "-y", *where).stdout
    (folder / "scores.sqlite").write_bytes(b"noise" * 1000)
    done = run(site, "cache", "verify", "--drop", *where)
    assert done.returncode == 0
    assert "was kept as" in done.stdout


@pytest.mark.parametrize("command", ["path", "compact", "verify"])
def test_a_cache_that_is_no_file_is_told_in_one_line(tmp_path: Path, command: str) -> None:
    done = run_cli(tmp_path, "cache", command, "--cache", "redis", REDIS_URL=NOWHERE)
    assert done.returncode in FAILED
    assert done.stderr == (
        f"error: The cache 'redis' is no file of this machine; `llmattn cache {command}` is for "
        "those that are, such as --cache lmdb.\n"
    )


def test_packed_scores_lie_beside_any_file(tmp_path: Path) -> None:
    cache = SqliteCache(SqliteSettings(dir=tmp_path))
    folder = packed_folder(cache)
    assert folder == tmp_path / "packed"
    (folder / PAIR.namespace).mkdir(parents=True)
    forget_packed(cache, PAIR.namespace)
    assert not os.listdir(folder)
    cache.close()


def test_the_file_in_front_of_a_server_is_kept_up_without_it(
    tmp_path: Path, told: Callable[[], str]
) -> None:
    settings = RedisLmdbSettings(url=NOWHERE, dir=tmp_path, timeout=1.0)
    cache = LayeredCache(settings)
    assert packed_folder(cache) == tmp_path / "packed"
    local = LmdbCache(LmdbSettings(dir=tmp_path))
    local.put(PAIR, ROWS, scored(ROWS))
    local.close()
    cache.compact()
    np.testing.assert_array_equal(cache.get(PAIR, ROWS), scored(ROWS))
    cache.close()
    assert LayeredCache.locate(settings) == tmp_path / "scores.mdb"
    assert LayeredCache.verify(settings).problems == []
    assert "does not answer" in told()
