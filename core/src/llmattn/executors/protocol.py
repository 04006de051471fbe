"""What an executor is: it carries work out in other processes, here or on other machines."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Protocol, runtime_checkable

__all__ = ["Executor", "Work", "still_wanted", "wanted_while"]


class Work(Protocol):
    """What is carried out item by item: an object that can be pickled, free of keys."""

    @property
    def alone(self) -> bool:
        """Whether a process that carries out an item of it does nothing else meanwhile."""
        ...

    def begin(self) -> Callable[[Any], Any]:
        """Set it up, once a process; what is given is called with each item, and gives its result.
        Either may raise LlmattnError. If it has a method ``close``, that is called in the end.
        """
        ...


@runtime_checkable
class Executor(Protocol):
    """Carries out items of work in other processes. ``elsewhere``: whether these may be on other
    machines, with other files, caches and keys.
    """

    elsewhere: bool

    @property
    def places(self) -> int:
        """How many items it can carry out at once, as things stand."""
        ...

    def submit(self, work: Work, item: Any, *, again: bool = True) -> Future[Any]:
        """Carry out ``item`` of ``work`` as soon as there is a place for it; what comes of it, or
        the LlmattnError that it ends in. ``cancel`` on what is given ends it early, if it can.

        ``again``: whether an item whose process has died may be carried out by another; if not,
        it ends in ``WorkerLost``, since it may have spent money. Raises LlmattnError.
        """
        ...

    def close(self) -> None:
        """End what is still carried out, and let go of all that was taken for it."""
        ...


_wanted: ContextVar[Callable[[], bool]] = ContextVar("wanted", default=lambda: True)


def still_wanted() -> bool:
    """Whether anybody still waits for the item that is being carried out; long work asks often."""
    return _wanted.get()()


@contextmanager
def wanted_while(wanted: Callable[[], bool]) -> Iterator[None]:
    """``wanted`` answers :func:`still_wanted` for what is carried out inside."""
    token = _wanted.set(wanted)
    try:
        yield
    finally:
        _wanted.reset(token)
