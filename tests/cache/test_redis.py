"""Sharing scores through a real server, and what happens when it goes away."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import redis
from llmattn.cache.bulk import load_pairs
from llmattn.cache.exchange.transfer import contents, copy_into
from llmattn.cache.open import open_cache
from llmattn.errors import CacheError, MissingSetting
from llmattn.usage import Usage
from llmattn_redis.cache import RedisCache
from llmattn_redis.layered import LayeredCache
from llmattn_redis.settings import RedisLmdbSettings, RedisSettings
from support_cache import PAIR, RedisServer, many_rows, scored

ROWS = many_rows(20, 10)
WORDS = sorted({word for row in ROWS for word in (row.query, *row.keys)})


@pytest.fixture
def server() -> Iterator[RedisServer]:
    server = RedisServer()
    yield server
    server.kill()


def layered(server: RedisServer, folder: Path) -> LayeredCache:
    return LayeredCache(RedisLmdbSettings(url=server.url, dir=folder, timeout=5.0))


def test_one_machine_finds_what_another_has_paid_for(server: RedisServer, tmp_path: Path) -> None:
    one, two = layered(server, tmp_path / "one"), layered(server, tmp_path / "two")
    one.put(PAIR, ROWS, scored(ROWS), Usage(requests=5, cost=0.5))
    for got, was in zip(two.get(PAIR, ROWS), scored(ROWS), strict=True):
        assert np.array_equal(got, was)
    assert [info.usage.cost for info in two.namespaces()] == [0.5]
    one.close()
    two.close()


def test_training_goes_on_from_a_full_local_file_when_the_server_is_gone(
    server: RedisServer, tmp_path: Path, told: Callable[[], str]
) -> None:
    cache = layered(server, tmp_path)
    cache.put(PAIR, ROWS, scored(ROWS))
    cache.close()
    server.kill()
    cache = layered(server, tmp_path)
    assert not any(np.isnan(scores).any() for scores in cache.get(PAIR, ROWS))
    assert len(load_pairs(cache, PAIR, WORDS)[0]) == 200
    assert "does not answer" in told()
    cache.close()
    server.start()


def test_what_is_not_known_here_cannot_be_read_without_the_server(
    server: RedisServer, tmp_path: Path
) -> None:
    cache = layered(server, tmp_path)
    server.kill()
    with pytest.raises(CacheError, match=r"127\.0\.0\.1.*does not answer.*--cache lmdb"):
        cache.get(PAIR, ROWS)
    cache.close()
    server.start()


def test_a_server_killed_in_mid_run_loses_nothing_that_was_paid_for(
    server: RedisServer, tmp_path: Path
) -> None:
    cache = layered(server, tmp_path)
    cache.put(PAIR, ROWS[:10], scored(ROWS)[:10])
    server.kill()
    with pytest.raises(CacheError, match=r"safe in .*cache merge .* --cache redis"):
        cache.put(PAIR, ROWS[10:], scored(ROWS)[10:])
    cache.close()
    server.start()
    local = open_cache("lmdb", cache_dir=tmp_path)
    shared = RedisCache(RedisSettings(url=server.url))
    copy_into(shared, contents(local))
    assert not any(np.isnan(scores).any() for scores in shared.get(PAIR, ROWS))
    local.close()
    shared.close()


def test_a_cache_goes_on_with_a_server_that_has_come_back(
    server: RedisServer, tmp_path: Path
) -> None:
    cache = layered(server, tmp_path)
    server.kill()
    server.start()
    cache.put(PAIR, ROWS, scored(ROWS))
    assert not any(np.isnan(scores).any() for scores in cache.get(PAIR, ROWS))
    cache.close()


def test_scores_of_another_machine_come_with_the_vocabulary(
    server: RedisServer, tmp_path: Path
) -> None:
    one, two = layered(server, tmp_path / "one"), layered(server, tmp_path / "two")
    one.put(PAIR, ROWS, scored(ROWS))
    assert len(load_pairs(two, PAIR, WORDS)[0]) == 200
    one.close()
    two.close()


def test_a_password_in_the_url_is_not_shown() -> None:
    with pytest.raises(CacheError, match=r"redis://127\.0\.0\.1:1/0 does not answer") as caught:
        RedisCache(RedisSettings(url="redis://me:secret-word@127.0.0.1:1/0"))
    assert "secret-word" not in str(caught.value)


def test_a_url_of_another_kind_is_refused() -> None:
    with pytest.raises(CacheError, match="REDIS_URL is no URL"):
        RedisCache(RedisSettings(url="http://127.0.0.1/"))


def test_both_caches_open_by_name(
    server: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", server.url)
    one = open_cache("redis_lmdb", cache_dir=tmp_path)
    one.put(PAIR, ROWS, scored(ROWS))
    two = open_cache("redis")
    assert not any(np.isnan(scores).any() for scores in two.get(PAIR, ROWS))
    one.close()
    two.close()


def test_a_missing_url_names_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REDIS_URL", raising=False)
    with pytest.raises(MissingSetting, match="REDIS_URL"):
        open_cache("redis")


def test_a_damaged_score_and_one_under_another_word_are_told(server: RedisServer) -> None:
    cache = RedisCache(RedisSettings(url=server.url))
    cache.put(PAIR, ROWS, scored(ROWS))
    client: Any = redis.Redis(port=server.port)
    key = f"llmattn:2:{PAIR.namespace}:q:w3".encode()
    whole = client.hgetall(key)
    flipped = bytes([*whole[b"w4"][:-1], whole[b"w4"][-1] ^ 1])
    for field, value in ((b"w4", flipped), (b"w4", whole[b"w5"])):
        client.hset(key, field, value)
        with pytest.raises(CacheError, match="damaged score"):
            cache.get(PAIR, ROWS)
        with pytest.raises(CacheError, match="damaged score"):
            list(cache.scan(PAIR.namespace))
        client.hset(key, mapping=whole)
    cache.get(PAIR, ROWS)
    client.close()
    cache.close()


def test_a_damaged_description_is_told_by_name(server: RedisServer) -> None:
    cache = RedisCache(RedisSettings(url=server.url))
    cache.put(PAIR, ROWS, scored(ROWS))
    client: Any = redis.Redis(port=server.port)
    key = f"llmattn:2:{PAIR.namespace}"
    client.hset(key, "identity", client.hget(key, "identity").replace(b"paid", b"qaid"))
    with pytest.raises(CacheError, match=PAIR.namespace):
        cache.namespaces()
    cache.put(PAIR, ROWS[:1], scored(ROWS[:1]))
    assert [info.namespace for info in cache.namespaces()] == [PAIR.namespace]
    client.close()
    cache.close()
