"""A file on this machine in front of a shared server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from llmattn.cache.bulk import load_pairs
from llmattn.cache.lmdb import LmdbCache
from llmattn.cache.protocol import NamespaceInfo, Pairs, ScoreCache
from llmattn.cache.settings import LmdbSettings
from llmattn.cache.transfer import contents, copy_into
from llmattn.errors import CacheError
from llmattn.identity import Identity
from llmattn.notices import notify
from llmattn.rows import Row, Scores
from llmattn.usage import Usage

from llmattn_redis.cache import RedisCache
from llmattn_redis.settings import RedisLmdbSettings

__all__ = ["LayeredCache", "open_layered"]


def open_layered(settings: RedisLmdbSettings) -> LayeredCache:
    """The LMDB cache in the settings' folder in front of the settings' server.

    A server that does not answer is announced: what the file knows can be used without it.
    """
    front = LmdbCache(LmdbSettings(dir=settings.dir))
    return LayeredCache(front, lambda: RedisCache(settings), str(front.path.parent))


class LayeredCache:
    """Reads the front, and the server where the front knows nothing; writes the front first."""

    def __init__(
        self, front: ScoreCache, connect: Callable[[], ScoreCache], front_name: str
    ) -> None:
        self._front = front
        self._front_name = front_name
        self._connect = connect
        self._back: ScoreCache | None = None
        self._lock = threading.Lock()
        try:
            self._server()
        except CacheError as error:
            notify(f"{error} Until then only scores of {front_name} can be used.")

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
        if known:
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
                f"{error} The scores are safe in {self._front_name}; share them later by: "
                f"llmattn cache merge {self._front_name} --cache redis"
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

    def close(self) -> None:
        """See ``ScoreCache.close``."""
        self._front.close()
        if self._back is not None:
            self._back.close()

    def _server(self) -> ScoreCache:
        """The server, connected if need be."""
        with self._lock:
            if self._back is None:
                self._back = self._connect()
            return self._back

    def _pull(self, namespace: str) -> None:
        """Copy what the server knows of a namespace to the front."""
        with self._if_there(f"going on with what {self._front_name} holds"):
            copy_into(self._front, contents(self._server(), [namespace]))

    @contextmanager
    def _if_there(self, otherwise: str) -> Iterator[None]:
        try:
            yield
        except CacheError as error:
            notify(f"{error} ({otherwise})")
