"""A score cache on one Redis or Valkey server, which many machines may use at once."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any, TypeVar

import numpy as np
import redis
from llmattn.plugin import (
    WRONG_DATA,
    CacheDamaged,
    CacheError,
    Half,
    Identity,
    NamespaceInfo,
    Row,
    Scores,
    Usage,
    checked_halves,
    from_json,
    has_positions,
    key_counts,
    strip_credentials,
)
from redis.backoff import NoBackoff
from redis.retry import Retry

from llmattn_redis.claims import RedisClaims
from llmattn_redis.keys import (
    SPACES,
    TEXT,
    decode,
    fields_of,
    key_of,
    name_of,
    rows_of,
    sealed,
    space_key,
    text_of,
    unsealed,
)
from llmattn_redis.settings import RedisSettings

__all__ = ["RedisCache"]

T = TypeVar("T")
_PORTION = 500


class RedisCache:
    """Scores on a server. What is put is as durable as the server keeps it.

    Raises CacheError, on opening too, when the server does not answer.
    """

    def __init__(self, settings: RedisSettings) -> None:
        try:
            self._where = strip_credentials(settings.url)
            self._client: Any = redis.Redis.from_url(
                settings.url,
                socket_timeout=settings.timeout,
                socket_connect_timeout=settings.timeout,
                retry=Retry(NoBackoff(), 1),
            )
        except ValueError as error:
            raise CacheError(f"REDIS_URL is no URL of a Redis server ({error}).") from None
        self._ask(lambda client: client.ping())

    def get(self, identity: Identity, rows: Sequence[Row]) -> list[Scores]:
        """See ``ScoreCache.get``. One round trip."""
        if not rows:
            return []
        names = [(row, has_positions(identity, row)) for row in rows]

        def work(client: Any) -> list[list[bytes | None]]:
            pipeline = client.pipeline(transaction=False)
            for row, text in names:
                key = key_of(identity.namespace, name_of(row, text))
                pipeline.hmget(key, fields_of(row, text))
            answers: list[list[bytes | None]] = pipeline.execute()
            return answers

        missing = np.full(len(identity.channels), np.nan, "<f2").tobytes()
        answers = []
        for (row, text), values in zip(names, self._ask(work), strict=True):
            key = key_of(identity.namespace, name_of(row, text))
            found = [
                missing if value is None else self._body(key, field, value)
                for field, value in zip(fields_of(row, text), values, strict=True)
            ]
            halves = np.frombuffer(b"".join(found), "<f2").reshape(-1, len(identity.channels))
            answers.append(halves.T.astype(np.float32))
        return answers

    def put(
        self,
        identity: Identity,
        rows: Sequence[Row],
        scores: Sequence[Scores],
        usage: Usage = Usage(),
    ) -> None:
        """See ``ScoreCache.put``. One round trip, one transaction."""
        halves = checked_halves(identity, rows, scores)
        parts = np.split(halves, np.cumsum(key_counts(rows))[:-1]) if rows else []
        hashes = [
            (name_of(row, text), _fields(row, text, values))
            for row, values in zip(rows, parts, strict=True)
            for text in (has_positions(identity, row),)
        ]
        hashes = [(name, fields) for name, fields in hashes if fields]
        if not hashes and usage == Usage():
            return
        namespace = identity.namespace

        def work(client: Any) -> None:
            pipeline = client.pipeline(transaction=True)
            about = space_key(namespace)
            pipeline.sadd(SPACES, namespace)
            pipeline.hset(about, "identity", json.dumps(identity.to_dict()))
            pipeline.hsetnx(about, "created", time.time())
            pipeline.hset(about, "updated", time.time())
            pipeline.hincrby(about, "requests", usage.requests)
            pipeline.hincrby(about, "prompt_tokens", usage.prompt_tokens)
            pipeline.hincrby(about, "completion_tokens", usage.completion_tokens)
            pipeline.hincrbyfloat(about, "cost", usage.cost)
            if hashes:
                pipeline.sadd(rows_of(namespace), *(name for name, _ in hashes))
            for name, fields in hashes:
                key = key_of(namespace, name)
                whole = {field: sealed(key, field, body) for field, body in fields.items()}
                pipeline.hset(key, mapping=whole)
            pipeline.execute()

        self._ask(work)

    def scan(self, namespace: str) -> Iterator[tuple[Row, Scores]]:
        """See ``ScoreCache.scan``."""
        about = self._ask(lambda client: client.hget(space_key(namespace), "identity"))
        if about is None:
            return
        channels = len(self._identity(namespace, about).channels)
        for names in self._names(namespace):
            found = self._pipelined("hgetall", [key_of(namespace, name) for name in names])
            for name, fields in zip(names, found, strict=True):
                if fields:
                    key = key_of(namespace, name)
                    bodies = {f: self._body(key, f, value) for f, value in fields.items()}
                    yield _row(name, bodies, channels)

    def namespaces(self) -> list[NamespaceInfo]:
        """See ``ScoreCache.namespaces``."""
        spaces = self._ask(lambda client: client.smembers(SPACES))
        listed = [self._info(name.decode()) for name in spaces]
        present = [info for info in listed if info is not None]
        return sorted(present, key=lambda info: (info.created, info.namespace))

    def purge(self, namespace: str) -> None:
        """See ``ScoreCache.purge``."""
        for names in self._names(namespace):
            self._pipelined("unlink", [key_of(namespace, name) for name in names])

        def work(client: Any) -> None:
            pipeline = client.pipeline(transaction=True)
            pipeline.srem(SPACES, namespace)
            pipeline.unlink(space_key(namespace), rows_of(namespace))
            pipeline.execute()

        self._ask(work)

    def claims(self) -> RedisClaims:
        """See ``SharedCache.claims``."""
        return RedisClaims(self._ask)

    def close(self) -> None:
        """See ``ScoreCache.close``."""
        self._client.close()

    def _ask(self, work: Callable[[Any], T]) -> T:
        try:
            return work(self._client)
        except redis.AuthenticationError as error:
            raise CacheError(
                f"The Redis server {self._where} refuses the password in REDIS_URL ({error})."
            ) from None
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise CacheError(
                f"The Redis server {self._where} does not answer ({_plain(error)}). Start it, "
                "check REDIS_URL, or go on without it: --cache lmdb"
            ) from None
        except redis.RedisError as error:
            raise CacheError(f"The Redis server {self._where} says: {_plain(error)}.") from None

    def _body(self, key: bytes, field: bytes, value: bytes) -> bytes:
        try:
            return unsealed(key, field, value)
        except ValueError as error:
            raise CacheDamaged(
                f"The Redis server {self._where} has a damaged score ({error}): remove that field "
                "with HDEL, or the namespace with `llmattn cache purge`."
            ) from None

    def _identity(self, namespace: str, about: bytes) -> Identity:
        with suppress(*WRONG_DATA):
            identity = Identity.from_dict(from_json(about))
            if identity.namespace == namespace:
                return identity
        raise CacheDamaged(
            f"The Redis server {self._where} has a damaged description of the namespace "
            f"{namespace}: what scores it holds cannot be known. Scoring into it writes it anew."
        )

    def _pipelined(self, command: str, keys: Sequence[bytes]) -> list[Any]:
        def work(client: Any) -> list[Any]:
            pipeline = client.pipeline(transaction=False)
            for key in keys:
                getattr(pipeline, command)(key)
            answers: list[Any] = pipeline.execute()
            return answers

        return self._ask(work)

    def _names(self, namespace: str) -> Iterator[list[bytes]]:
        """Names of rows in portions, each once."""
        names = self._ask(lambda client: list(client.smembers(rows_of(namespace))))
        portions = iter(names)
        while portion := list(islice(portions, _PORTION)):
            yield portion

    def _info(self, namespace: str) -> NamespaceInfo | None:
        about = self._ask(lambda client: client.hgetall(space_key(namespace)))
        if not about:
            return None
        rows = pairs = size = 0
        for names in self._names(namespace):
            keys = [key_of(namespace, name) for name in names]
            for name, fields in zip(names, self._pipelined("hlen", keys), strict=True):
                rows += 1
                pairs += fields - name.startswith(b"t:")
            size += sum(n or 0 for n in self._pipelined("memory_usage", keys))
        return NamespaceInfo(
            namespace,
            self._identity(namespace, about[b"identity"]),
            rows,
            pairs,
            size,
            float(about[b"created"]),
            float(about[b"updated"]),
            Usage(
                requests=int(about[b"requests"]),
                prompt_tokens=int(about[b"prompt_tokens"]),
                completion_tokens=int(about[b"completion_tokens"]),
                cost=float(about[b"cost"]),
            ),
        )


def _fields(row: Row, text: bool, values: Half) -> dict[bytes, bytes]:
    """The fields of a row's hash; empty if nothing is known. ``values``: (n, C)."""
    known = ~np.isnan(values[:, 0])
    stored = values.astype("<f2")
    fields = {
        field: stored[i].tobytes() for i, field in enumerate(fields_of(row, text)) if known[i]
    }
    if fields and text:
        fields[TEXT] = json.dumps([*row.context, row.query]).encode("ascii")
    return fields


def _row(name: bytes, fields: dict[bytes, bytes], channels: int) -> tuple[Row, Scores]:
    if name.startswith(b"t:"):
        tokens = tuple(text_of(fields.pop(TEXT)))
        scores = np.full((len(tokens), channels), np.nan, np.float16)
        for position, value in fields.items():
            scores[int(position)] = np.frombuffer(value, "<f2")
        return Row(tokens[-1], tokens, tokens[:-1]), scores.T.astype(np.float32)
    keys = tuple(decode(key) for key in fields)
    scores = np.frombuffer(b"".join(fields.values()), "<f2").reshape(-1, channels)
    return Row(decode(name[2:]), keys), scores.T.astype(np.float32)


def _plain(error: Exception) -> str:
    return str(error).rstrip(".")
