"""Redis or Valkey as llmattn's score cache. Importing this imports no redis."""

from __future__ import annotations

from llmattn.plugin import CacheRegistry, hookimpl

from llmattn_redis.settings import RedisLmdbSettings, RedisSettings


@hookimpl
def llmattn_register_caches(registry: CacheRegistry) -> None:
    registry.add(
        "redis",
        "llmattn_redis.cache:RedisCache",
        RedisSettings,
        "a Redis or Valkey server that several machines share",
    )
    registry.add(
        "redis_lmdb",
        "llmattn_redis.layered:LayeredCache",
        RedisLmdbSettings,
        "a file on this machine in front of a shared Redis or Valkey server",
    )
