"""Settings of the Redis caches."""

from __future__ import annotations

from pathlib import Path

from attrs import Factory, frozen, validators
from llmattn.plugin import LmdbSettings, setting

__all__ = ["RedisLmdbSettings", "RedisSettings"]


@frozen
class RedisSettings:
    """A server alone."""

    url: str = setting(env="REDIS_URL", help="URL of the server, redis://host:6379/0")
    timeout: float = setting(
        10.0, help="seconds to wait for the server", validator=validators.gt(0)
    )


@frozen
class RedisLmdbSettings(RedisSettings):
    """A server behind a file on this machine."""

    dir: Path = setting(
        Factory(lambda: LmdbSettings().dir),
        env="LLMATTN_CACHE_DIR",
        help="folder of the file on this machine",
    )
