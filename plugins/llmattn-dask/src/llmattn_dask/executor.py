"""The executor `dask`: a connection to a scheduler, which shares items out among its workers."""

from __future__ import annotations

import hashlib
import logging
import pickle
import uuid
import warnings
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from importlib import metadata
from typing import Any, ClassVar

import dask
import distributed
from distributed import KilledWorker
from llmattn.plugin import ConfigError, LlmattnError, Work, WorkerLost

from llmattn_dask.cluster import check_cluster
from llmattn_dask.settings import DaskSettings
from llmattn_dask.worker import Order, carry, held

__all__ = ["DaskExecutor"]


class DaskExecutor:
    """Items go to whichever worker is free; one that dies is replaced by the next."""

    elsewhere: ClassVar[bool] = True

    def __init__(self, settings: DaskSettings) -> None:
        """Raises ConfigError if there is no such scheduler, no worker, or one that lacks llmattn
        or has another version of it.
        """
        self._address = settings.address
        self._client: Any = _connected(settings)
        self._held: tuple[Work, Any] | None = None
        try:
            check_cluster(self._client, settings)
        except BaseException:
            self._client.close()
            raise

    @property
    def places(self) -> int:
        """As many as there are workers."""
        return len(self._client.scheduler_info(n_workers=-1)["workers"])

    def submit(self, work: Work, item: Any, *, again: bool = True) -> Future[Any]:
        """See ``Executor.submit``."""
        mark = "" if again else f"llmattn-once-{uuid.uuid4().hex}"
        order = Order(pickle.dumps(item), metadata.version("llmattn-core"), mark)
        remote = self._client.submit(
            carry,
            self._kept(work),
            pickle.dumps(order),
            key=f"llmattn-{type(work).__name__.lower()}-{uuid.uuid4().hex}",
            pure=False,
        )
        return _Carried(remote, self._client, self._address, mark)

    def close(self) -> None:
        """See ``Executor.close``."""
        self._held = None
        self._client.close()

    def _kept(self, work: Work) -> Any:
        """The work as it is kept in the cluster; sent once for items that follow each other."""
        if self._held is None or self._held[0] is not work:
            pickled = pickle.dumps(work)
            key = f"llmattn-work-{hashlib.sha256(pickled).hexdigest()[:32]}"
            with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
                self._held = work, self._client.submit(held, pickled, key=key)
        return self._held[1]


class _Carried(Future[Any]):
    """What comes of an item that a worker carries out; cancelled, it is ended there, too."""

    def __init__(self, remote: Any, client: Any, address: str, mark: str) -> None:
        super().__init__()
        self._remote, self._client, self._address, self._mark = remote, client, address, mark
        remote.add_done_callback(self._settle)

    def cancel(self) -> bool:
        cancelled = super().cancel()
        if cancelled:
            self._remote.cancel()
        return cancelled

    def _settle(self, remote: Any) -> None:
        """Called in a thread of Dask's own, when there is something to know."""
        error: LlmattnError | None
        result: Any = None
        try:
            if remote.status == "finished":
                error, result = remote.result()
            elif remote.status == "error":
                error = _meaning(remote.exception())
            else:
                error = self._lost(remote.status)
        except Exception as lost:  # between its end and our asking for it
            error = self._lost(lost)
        with suppress(InvalidStateError):  # nobody waits for it any more
            if error is not None:
                self.set_exception(error)
            else:
                self.set_result(result)
        if self._mark and self._client.status == "running":
            queue: Any = distributed.Queue
            place = queue(self._mark, client=self._client, maxsize=1)
            for _ in range(2):  # once for the worker's use of it
                place.close()

    def _lost(self, why: object) -> WorkerLost:
        return WorkerLost(
            f"The scheduler at {self._address} has lost an item, or is gone itself ({why}). What "
            "was finished is kept: the same command goes on from there."
        )


def _meaning(error: BaseException) -> LlmattnError:
    """What a failure of Dask's own means."""
    if isinstance(error, KilledWorker):
        return WorkerLost(
            f"Each worker that began an item has died, the last at {error.last_worker.address}; "
            "often memory runs out. Its log tells more. What was finished is kept: go on with the "
            "same command and workers of more memory."
        )
    if isinstance(error, ImportError):
        return ConfigError(
            f"A worker that has joined lacks what it needs ({error}): pip install llmattn-dask "
            "there, and start it anew."
        )
    return LlmattnError(f"A worker failed with {type(error).__name__}: {error}")


def _connected(settings: DaskSettings) -> Any:
    for name in ("distributed", "distributed.client", "distributed.core", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what is wrong is told as an error
    files = {
        "tls_ca_file": settings.tls_ca_file,
        "tls_client_cert": settings.tls_cert,
        "tls_client_key": settings.tls_key,
    }
    given = {name: str(path) for name, path in files.items() if path is not None}
    connect: Any = distributed.Client
    secured: Any = distributed.Security
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of versions check_cluster tells
            return connect(
                settings.address,
                timeout=settings.timeout,
                set_as_default=False,
                security=secured(**given) if given else None,
            )
    except (OSError, ValueError, TypeError, RuntimeError) as error:
        raise ConfigError(
            f"dask: no scheduler could be reached at {settings.address} "
            f"({str(error) or type(error).__name__}). Start one (dask scheduler), or name it with "
            "-o dask.address=tcp://HOST:PORT; for tls:// see -o dask.tls_ca_file and the like."
        ) from None
