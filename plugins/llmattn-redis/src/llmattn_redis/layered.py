"""A file on this machine in front of a shared server."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from llmattn.plugin import (
    CacheError,
    Claims,
    Identity,
    LmdbCache,
    LmdbSettings,
    NamespaceInfo,
    Pairs,
    Row,
    Scores,
    Usage,
    VerifyReport,
    contents,
    copy_into,
    load_pairs,
    warn,
)

from llmattn_redis.cache import RedisCache
from llmattn_redis.settings import RedisLmdbSettings

__all__ = ["LayeredCache"]


class LayeredCache:
    """Reads the front, and the server where the front knows nothing; writes the front first.

    The front is the LMDB cache in the settings' folder. A server that does not answer is
    announced: what the file knows can be used without it.
    """

    def __init__(self, settings: RedisLmdbSettings) -> None:
        self._settings = settings
        self._front = LmdbCache(_front(settings))
        self._back: RedisCache | None = None
        self._lock = threading.Lock()
        try:
            self._server()
        except CacheError as error:
            warn(f"{error} Until then only scores of {self.path.parent} can be used.")

    @property
    def path(self) -> Path:
        """See ``FileCache.path``: the file in front."""
        return self._front.path

    @property
    def read_only(self) -> bool:
        """See ``MaybeReadOnly.read_only``: what is put goes to the file in front first."""
        return self._front.read_only

    def compact(self) -> tuple[int, int]:
        """See ``FileCache.compact``: the file in front."""
        return self._front.compact()

    @staticmethod
    def locate(settings: RedisLmdbSettings) -> Path:
        """See ``FileCache.locate``: the file in front."""
        return LmdbCache.locate(_front(settings))

    @staticmethod
    def verify(settings: RedisLmdbSettings, *, drop: bool = False) -> VerifyReport:
        """See ``FileCache.verify``: the file in front."""
        return LmdbCache.verify(_front(settings), drop=drop)

    def get(self, identity: Identity, rows: Sequence[Row]) -> list[Scores]:
        """See ``ScoreCache.get``. What the server adds is kept in front.

        Raises CacheError if the server is away and the front does not know everything.
        """
        answers = self._front.get(identity, rows)
        open_ = [i for i, scores in enumerate(answers) if np.isnan(scores).any()]
        if not open_:
            return answers
        lacking = [rows[i] for i in open_]
        found = self._server().get(identity, lacking)
        known = [i for i, scores in enumerate(found) if not np.isnan(scores).all()]
        if known and not self._front.read_only:
            self._front.put(identity, [lacking[i] for i in known], [found[i] for i in known])
        for i, scores in zip(open_, found, strict=True):
            answers[i] = np.where(np.isnan(answers[i]), scores, answers[i])
        return answers

    def put(
        self,
        identity: Identity,
        rows: Sequence[Row],
        scores: Sequence[Scores],
        usage: Usage = Usage(),
    ) -> None:
        """See ``ScoreCache.put``. If the server fails, the front has the scores all the same."""
        self._front.put(identity, rows, scores, usage)
        try:
            self._server().put(identity, rows, scores, usage)
        except CacheError as error:
            raise CacheError(
                f"{error} The scores are safe in {self.path.parent}; share them later by: "
                f"llmattn cache merge {self.path.parent} --cache redis"
            ) from None

    def scan(self, namespace: str) -> Iterator[tuple[Row, Scores]]:
        """See ``ScoreCache.scan``. First brings the front up to date."""
        self._pull(namespace)
        return self._front.scan(namespace)

    def get_pairs(self, identity: Identity, vocabulary: Sequence[str]) -> Pairs:
        """See ``BulkCache.get_pairs``. First brings the front up to date."""
        self._pull(identity.namespace)
        return load_pairs(self._front, identity, vocabulary)

    def namespaces(self) -> list[NamespaceInfo]:
        """See ``ScoreCache.namespaces``: what both hold, counted where there is more of it."""
        listed = {info.namespace: info for info in self._front.namespaces()}
        with self._if_there("namespaces of the server are left out"):
            for info in self._server().namespaces():
                here = listed.get(info.namespace)
                if here is None or info.pairs >= here.pairs:
                    listed[info.namespace] = info
        return sorted(listed.values(), key=lambda info: (info.created, info.namespace))

    def purge(self, namespace: str) -> None:
        """See ``ScoreCache.purge``: forgotten on the server, then here."""
        self._server().purge(namespace)
        self._front.purge(namespace)

    def claims(self) -> Claims:
        """See ``SharedCache.claims``: on the server, where all machines see them."""
        return self._server().claims()

    def close(self) -> None:
        """See ``ScoreCache.close``."""
        self._front.close()
        if self._back is not None:
            self._back.close()

    def _server(self) -> RedisCache:
        """The server, connected if need be."""
        with self._lock:
            if self._back is None:
                self._back = RedisCache(self._settings)
            return self._back

    def _pull(self, namespace: str) -> None:
        """Copy what the server knows of a namespace to the front."""
        if self._front.read_only:
            return
        with self._if_there(f"going on with what {self.path.parent} holds"):
            copy_into(self._front, contents(self._server(), [namespace]))

    @contextmanager
    def _if_there(self, otherwise: str) -> Iterator[None]:
        try:
            yield
        except CacheError as error:
            warn(f"{error} ({otherwise})")


def _front(settings: RedisLmdbSettings) -> LmdbSettings:
    return LmdbSettings(dir=settings.dir)
