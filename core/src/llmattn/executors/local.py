"""The executor `local`: processes of this machine, started as they are needed."""

from __future__ import annotations

import logging
import multiprocessing
import pickle
import signal
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from queue import SimpleQueue
from threading import Lock, Thread
from typing import Any, ClassVar

from attrs import define, field, frozen

from llmattn import signals
from llmattn.errors import LlmattnError, WorkerLost
from llmattn.executors.carrying import carry_out, let_go
from llmattn.executors.protocol import Work
from llmattn.executors.settings import LocalSettings
from llmattn.notices import LOGGER

__all__ = ["LocalExecutor"]


@frozen(eq=False)
class _Given:
    pickled: bytes
    item: Any
    future: Future[Any]


@define(eq=False)
class _Worker:
    process: Any
    connection: Connection
    given: _Given | None = None


class LocalExecutor:
    """One process for each item that is under way at once; each is used again for later ones.

    They are new processes, not forks: neither torch's threads nor an open cache survives one.
    """

    elsewhere: ClassVar[bool] = False

    def __init__(self, settings: LocalSettings) -> None:
        self._workers: dict[Thread, _Worker] = {}
        self._queue: SimpleQueue[_Given | None] = SimpleQueue()
        self._lock = Lock()
        self._unfinished = self._alive = 0  # items, processes
        self._pickled: tuple[Work, bytes] | None = None

    @property
    def places(self) -> int:
        """As many as there are cores; more may be handed over at once, each to a process."""
        from llmattn.devices import cores  # not in the processes, which may need no torch

        return cores()

    def submit(self, work: Work, item: Any, *, again: bool = True) -> Future[Any]:
        """See ``Executor.submit``. An item whose process dies ends in ``WorkerLost`` either way:
        on one machine the next process would most likely end as it did.
        """
        if self._pickled is None or self._pickled[0] is not work:
            self._pickled = work, pickle.dumps(work)
        future: Future[Any] = Future()
        with self._lock:
            self._unfinished += 1
            lacking = self._unfinished > self._alive
            self._alive += lacking
        if lacking:
            self._start()
        self._queue.put(_Given(self._pickled[1], item, future))
        return future

    def close(self) -> None:
        """See ``Executor.close``."""
        for worker in self._workers.values():
            if worker.given is not None:
                worker.process.kill()  # any other signal it leaves to us
        for _ in self._workers:
            self._queue.put(None)
        for thread, worker in self._workers.items():
            thread.join()
            worker.connection.close()
            worker.process.join()
        self._workers = {}

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        with _held_back():
            ours, theirs = context.Pipe()
            given = theirs, LOGGER.getEffectiveLevel()
            process = context.Process(target=_serve, args=given, daemon=True)
            process.start()
        theirs.close()
        worker = _Worker(process, ours)
        thread = Thread(target=self._drive, args=[worker], daemon=True)
        self._workers[thread] = worker
        thread.start()

    def _drive(self, worker: _Worker) -> None:
        """Hand over item after item, until there will be no more, or the process has died."""
        answer: Any = None
        while not isinstance(answer, WorkerLost) and (given := self._queue.get()) is not None:
            future, answer = given.future, None
            if future.set_running_or_notify_cancel():
                worker.given = given
                answer = _answer(worker, given)
                worker.given = None
            with self._lock:  # before anybody hears of it, and hands over the next item
                self._unfinished -= 1
                self._alive -= isinstance(answer, WorkerLost)
            if isinstance(answer, LlmattnError):
                future.set_exception(answer)
            elif not future.cancelled():
                future.set_result(answer)


def _answer(worker: _Worker, given: _Given) -> Any:
    """What comes of an item, or the error that it ends in."""
    try:
        worker.connection.send((given.pickled, given.item))
        while isinstance(answer := worker.connection.recv(), logging.LogRecord):
            logging.getLogger(answer.name).handle(answer)  # told here as it was there
    except (EOFError, OSError):
        worker.process.join()
        return WorkerLost(
            f"A process that worked ended by itself (exit code {worker.process.exitcode}; -9 "
            "often means that memory ran out). Finished runs are kept; go on with the same "
            "command and fewer --jobs."
        )
    return answer


@contextmanager
def _held_back() -> Iterator[None]:
    """Hold signals back. A terminal and a scheduler send theirs to every process, and only this one
    deals with them: a new process begins with what is held back here, and never hears of it.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals.NUMBERS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: Connection, heard: int) -> None:
    """What such a process does: item after item until the other end is closed, or was killed. What
    it tells of the level ``heard`` and above, its parent logs.
    """
    for number in signals.NUMBERS:  # where none could be held back
        signal.signal(number, signal.SIG_IGN)
    outbox = _Outbox(connection)
    LOGGER.addHandler(_Forward(outbox))
    LOGGER.setLevel(heard)
    while True:
        try:
            pickled, item = connection.recv()
        except (EOFError, OSError):
            let_go()
            return
        try:
            outbox.send(carry_out(pickled, item))
        except LlmattnError as error:
            outbox.send(error)


@frozen
class _Outbox:
    """Sends answers and notices, of any thread; one that nobody waits for any more is dropped."""

    _connection: Connection
    _lock: Lock = field(factory=Lock)

    def send(self, item: Any) -> None:
        with self._lock, suppress(OSError):
            self._connection.send(item)


class _Forward(logging.Handler):
    """Hands on what a worker tells; a notice is plain text, and so crosses as it is."""

    def __init__(self, outbox: _Outbox) -> None:
        super().__init__()
        self._outbox = outbox

    def emit(self, record: logging.LogRecord) -> None:
        self._outbox.send(record)
