"""Calls of a provider that may never end, or end in any way: each ends in time, in an error of ours
at the worst.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import wait
from contextlib import AbstractContextManager
from typing import Any, TypeVar

import anyio
from anyio.from_thread import BlockingPortal, start_blocking_portal

from llmattn import signals
from llmattn.errors import PluginError
from llmattn.isolation import one_line
from llmattn.notices import warn
from llmattn.providers.protocol import AttentionProvider, Reply
from llmattn.rows import Row

__all__ = ["Calls", "close_provider", "give_back"]

T = TypeVar("T")

LEAST = 600.0
"""Seconds that a request may take where nobody says otherwise, be the provider's own limit less."""
_CLOSING = 10.0
"""Seconds that a provider may take to give back its connections."""
_GRACE = 5.0
"""Seconds in which a call that is cancelled has to end."""
_A_MOMENT = 1.0
"""Seconds for one of which nothing is expected any more."""


class Calls:
    """The calls of one provider. ``limit``: seconds for each; None: ten minutes, or twice what the
    provider itself gives a request if that is more. ``score``: what sends a request in the
    provider's place, if it is not the provider itself.
    """

    def __init__(
        self,
        name: str,
        provider: AttentionProvider,
        limit: float | None,
        score: Callable[[Sequence[Row]], Awaitable[Reply]] | None = None,
    ) -> None:
        self._name = name
        self.score = score or provider.score
        self._own = provider.limits.timeout
        self.limit = limit or max(LEAST, 2 * self._own)
        self._numbers = itertools.count()
        self._begun: dict[int, float] = {}
        self.gave_up = False
        """Whether a call has not ended in time: something of it may still run."""

    async def within(self, call: Callable[[], Awaitable[T]]) -> T:
        """What ``call()`` comes to. Raises PluginError if it does not end in time, or ends in what
        would end the process.
        """
        number = next(self._numbers)
        self._begun[number] = time.monotonic()
        try:
            with anyio.move_on_after(self.limit):
                return await call()
        except (Exception, GeneratorExit, anyio.get_cancelled_exc_class()):
            raise
        except BaseException as error:  # sys.exit() is one
            raise PluginError(
                f"The provider {self._name!r} failed with {one_line(error)}. That is a fault of "
                "its plugin; --debug shows where."
            ) from error
        finally:
            del self._begun[number]
        raise self._too_long()

    def overdue(self) -> PluginError | None:
        """What there is to say of a call that goes on though it was cancelled, as one does that
        computes without end.
        """
        begun = min(list(self._begun.values()), default=None)
        if begun is None or time.monotonic() - begun < self.limit + _GRACE:
            return None
        return self._too_long()

    def _too_long(self) -> PluginError:
        self.gave_up = True
        return PluginError(
            f"The provider {self._name!r} has not ended a request in {self.limit:g} s, and is to "
            f"give one up by itself after {self._own:g} s: most likely a fault of its plugin. "
            "What was answered is kept; --provider-timeout allows more."
        )


def close_provider(
    name: str,
    provider: AttentionProvider,
    portal: BlockingPortal,
    manager: AbstractContextManager[Any],
    calls: Calls | None = None,
) -> None:
    """Let the provider give back what it holds, and end the event loop that it lived on, unless
    something of it goes on without end. What goes wrong is told, and no error: all else is done.
    """
    endless = f"has not ended in {_CLOSING:g} s"

    async def close() -> str:
        """What is wrong with closing it, in words."""
        try:
            with anyio.move_on_after(_CLOSING):
                await provider.aclose()
                return ""
        except BaseException as error:  # as in Calls.within
            if isinstance(error, (GeneratorExit, anyio.get_cancelled_exc_class())):
                raise
            return f"failed with {one_line(error)}"
        return endless

    if calls is not None and calls.overdue():  # the event loop may be what it holds on to
        signals.leave_behind()
        return
    stuck = calls is not None and calls.gave_up
    work = portal.start_task_soon(close)
    wrong = endless
    if wait([work], _A_MOMENT if stuck else _CLOSING + _GRACE).done:
        wrong = work.result()
    if wrong and not stuck:
        warn(f"Closing the provider {name!r} {wrong}: a fault of its plugin (aclose).")
    if stuck or wrong == endless:
        signals.leave_behind()
    else:
        manager.__exit__(None, None, None)


def give_back(name: str, provider: AttentionProvider) -> None:
    """Let a provider that was built, and never asked, close what it holds."""
    manager = start_blocking_portal("asyncio")
    close_provider(name, provider, manager.__enter__(), manager)
