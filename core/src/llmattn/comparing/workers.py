"""Processes that train runs side by side; each has the corpus and the scores for itself."""

from __future__ import annotations

import logging
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection, wait
from threading import Lock
from typing import Any

from attrs import define, evolve, field, frozen

from llmattn import signals
from llmattn.comparing.arms import Arm
from llmattn.comparing.config import CompareConfig, Course
from llmattn.comparing.store import FinishedRun
from llmattn.devices import cores
from llmattn.errors import LlmattnError
from llmattn.notices import LOGGER

__all__ = ["Task", "Workers"]


@frozen(eq=False)
class Task:
    """One run to make."""

    arm: Arm
    course: Course
    seed: int


@define
class _Worker:
    process: Any
    connection: Connection
    task: Task | None = None


class Workers:
    """A context manager: ``config.jobs`` processes, which share out the threads.

    They are new processes, not forks: neither torch's threads nor an open cache survives one.
    """

    def __init__(self, config: CompareConfig) -> None:
        threads = (config.experiment.threads or cores()) // config.jobs
        own = evolve(config.experiment, threads=max(1, threads))
        self._config = evolve(config, experiment=own)
        self._workers: list[_Worker] = []

    def __enter__(self) -> Workers:
        context = multiprocessing.get_context("spawn")
        heard = LOGGER.getEffectiveLevel()
        try:
            with _held_back():
                for _ in range(self._config.jobs):
                    ours, theirs = context.Pipe()
                    given = self._config, theirs, heard
                    process = context.Process(target=_serve, args=given, daemon=True)
                    process.start()
                    theirs.close()
                    self._workers.append(_Worker(process, ours))
        except BaseException:
            self._end(kill=True)
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self._end(kill=error[0] is not None)

    def _end(self, *, kill: bool) -> None:
        for worker in self._workers:
            if kill:
                worker.process.kill()  # any other signal it leaves to us
            worker.connection.close()
        for worker in self._workers:
            worker.process.join()
        self._workers = []

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[Task, FinishedRun]]:
        """Make the runs, in about the order given; each comes as it finishes.

        Raises LlmattnError when a run fails or a process dies.
        """
        left = list(tasks)
        for worker in self._workers:
            _hand(worker, left)
        while busy := [worker for worker in self._workers if worker.task]:
            ready = wait([worker.connection for worker in busy])
            for worker in busy:
                if worker.connection in ready:
                    task, answer = worker.task, _answer(worker)
                    if answer is None:
                        continue
                    assert task is not None
                    _hand(worker, left)
                    yield task, answer


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


def _hand(worker: _Worker, left: list[Task]) -> None:
    """Give the worker the next task, if there is one."""
    worker.task = left.pop(0) if left else None
    if worker.task:
        try:
            worker.connection.send(worker.task)
        except OSError:
            raise _died(worker) from None


def _answer(worker: _Worker) -> FinishedRun | None:
    """A finished run; None if the worker has told something, which is logged here as there."""
    try:
        answer = worker.connection.recv()
    except (EOFError, OSError):
        raise _died(worker) from None
    if isinstance(answer, logging.LogRecord):
        logging.getLogger(answer.name).handle(answer)
        return None
    if isinstance(answer, FinishedRun):
        return answer
    raise LlmattnError(answer)


def _died(worker: _Worker) -> LlmattnError:
    worker.process.join()
    return LlmattnError(
        f"A process that trained ended by itself (exit code {worker.process.exitcode}; -9 often "
        "means that memory ran out). Finished runs are kept; go on with the same command and "
        "fewer --jobs."
    )


def _serve(config: CompareConfig, connection: Connection, heard: int) -> None:
    """What a worker does: train task after task until the other end is closed. What it tells of
    the level ``heard`` and above, its parent logs.
    """
    for number in signals.NUMBERS:  # where none could be held back
        signal.signal(number, signal.SIG_IGN)
    outbox = _Outbox(connection)
    LOGGER.addHandler(_Forward(outbox))
    LOGGER.setLevel(heard)
    from llmattn.comparing.runner import Runner

    try:
        runner = Runner(config, alone=False)
        while (task := _next(connection)) is not None:
            outbox.send(runner.train(task.arm, task.course, task.seed))
    except LlmattnError as error:
        outbox.send(str(error))
    except Exception as error:  # the parent tells it; a traceback here would be lost among others
        outbox.send(f"a fault in llmattn: {type(error).__name__}: {error}")


def _next(connection: Connection) -> Task | None:
    """The next task; None once the other end is closed, or its process was killed."""
    try:
        task: Task = connection.recv()
    except (EOFError, OSError):
        return None
    return task


@frozen
class _Outbox:
    """Sends answers and notices, of any thread; one that nobody waits for any more is dropped."""

    _connection: Connection
    _lock: Lock = field(factory=Lock)

    def send(self, item: FinishedRun | str | logging.LogRecord) -> None:
        with self._lock, suppress(OSError):
            self._connection.send(item)


class _Forward(logging.Handler):
    """Hands on what a worker tells; a notice is plain text, and so crosses as it is."""

    def __init__(self, outbox: _Outbox) -> None:
        super().__init__()
        self._outbox = outbox

    def emit(self, record: logging.LogRecord) -> None:
        self._outbox.send(record)
