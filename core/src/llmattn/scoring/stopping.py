"""What an interrupt means for requests under way: the first awaits their answers, the next not."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TypeVar

from anyio.from_thread import BlockingPortal

from llmattn.errors import LlmattnError
from llmattn.notices import notify
from llmattn.wording import counted

__all__ = ["finish"]

T = TypeVar("T")

_A_MOMENT = 1.0
"""Seconds in which a loop that is told to drop its requests has dropped them."""


def finish(
    work: Future[T],
    portal: BlockingPortal,
    stop: Callable[[str, float], int],
    *,
    patience: float,
    overdue: Callable[[], LlmattnError | None] = lambda: None,
) -> T:
    """What ``work``, on the portal's loop, comes to.

    ``stop`` is called there with a reason and the seconds that answers under way may still take,
    at most ``patience``; it gives their number. Raises KeyboardInterrupt after an interrupt: once
    ``work`` has ended, or after a second one, when it may not be done if a thread computes that
    nothing can stop. Raises what ``overdue`` gives, which is asked every second: something goes on
    without end, and ``work`` with it.
    """
    try:
        while not wait([work], _A_MOMENT).done:
            if error := overdue():
                raise error
        return work.result()
    except KeyboardInterrupt:
        try:
            if under_way := portal.call(stop, "interrupted", patience):
                notify(
                    f"Stopping: {counted(under_way, 'request')} under way; waiting for up to "
                    f"{patience:g} s; press Ctrl-C again to leave at once."
                )
            wait([work])
        except KeyboardInterrupt:
            if thrown := portal.call(stop, "interrupted", 0.0):
                notify(
                    f"Leaving at once: {counted(thrown, 'request')} under way thrown away, which "
                    "may be billed all the same."
                )
            wait([work], _A_MOMENT)
        raise
