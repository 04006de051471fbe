"""What a check of the kit says: one sentence of advice; and how a list of checks is run."""

from __future__ import annotations

import asyncio
import re
import threading
import time
import traceback
from collections.abc import Callable, Collection, Coroutine, Iterator, Sequence
from typing import Any, Generic, NoReturn, TypeVar

from attrs import define, field, frozen

from llmattn.secrets import redact

__all__ = [
    "Check",
    "CheckFailed",
    "NotChecked",
    "Result",
    "Steps",
    "fail",
    "in_time",
    "results",
    "run_all",
    "shown",
]

T = TypeVar("T")
S = TypeVar("S")

PAGE = "docs/writing-plugins.md"


class CheckFailed(AssertionError):
    """A plugin is not what it has to be: what was done, what came, what is expected, and where
    the documentation says so.
    """


class NotChecked(Exception):
    """A check that cannot be made of this plugin, with the reason."""


def fail(done: str, came: str, expected: str, where: str) -> NoReturn:
    """Raise CheckFailed. ``where``: a heading of docs/writing-plugins.md, as its link has it."""
    text = f"{done}, {came}. Expected: {expected} ({PAGE}#{where})."
    raise CheckFailed(redact(text))


@frozen
class Check(Generic[S]):
    """One thing that is looked at; its name is that of its function."""

    run: Callable[[S], None]

    @property
    def name(self) -> str:
        return self.run.__name__.removeprefix("check_").replace("_", " ")


@frozen
class Result:
    """What came of a check: ``passed``, ``failed`` or ``not checked``, and why."""

    name: str
    outcome: str
    reason: str = ""


def run_all(checks: Sequence[Callable[[S], None]], subject: S, skip: Collection[str] = ()) -> None:
    """Run the checks in order; the first that fails raises CheckFailed."""
    for result in results(checks, subject, skip):
        if result.outcome == "failed":
            raise CheckFailed(result.reason)


def results(
    checks: Sequence[Callable[[S], None]], subject: S, skip: Collection[str] = ()
) -> Iterator[Result]:
    """Run the checks in order, up to the first that fails: what follows would say it again."""
    named = {check.name: check for check in map(Check, checks)}
    if unknown := set(skip) - set(named):
        raise ValueError(f"no check is called {min(unknown)!r}; there are: {', '.join(named)}")
    for name, check in named.items():
        if name in skip:
            yield Result(name, "not checked", "left out with skip")
            continue
        try:
            check.run(subject)
        except NotChecked as reason:
            yield Result(name, "not checked", str(reason))
        except CheckFailed as error:
            yield Result(name, "failed", f"{name}: {error}")
            return
        except Exception as error:
            place = traceback.extract_tb(error.__traceback__)[-1]
            about = " ".join((check.run.__doc__ or "").split())
            raised = f"{type(error).__name__} was raised: {shown(str(error), 200)}"
            yield Result(
                name,
                "failed",
                f"{name}: {about} While this was looked at, {raised} ({place.filename}, line "
                f"{place.lineno}). Expected: a plugin that raises nothing here ({PAGE}).",
            )
            return
        else:
            yield Result(name, "passed")


@define
class Steps:
    """What is being waited for, and how long it may last."""

    seconds: float
    doing: str = ""
    begun: float = field(factory=time.monotonic)

    async def take(self, doing: str, awaitable: Coroutine[Any, Any, T]) -> T:
        """The result; CheckFailed if it waits for longer than it may."""
        self.doing, self.begun = doing, time.monotonic()
        task = asyncio.ensure_future(self._guarded(awaitable))
        await asyncio.wait({task}, timeout=self.seconds)
        if not task.done():
            task.cancel()
            self.give_up()
        return task.result()

    async def _guarded(self, awaitable: Coroutine[Any, Any, T]) -> T:
        try:
            return await awaitable
        except (SystemExit, KeyboardInterrupt) as error:  # would end the event loop
            came = f"{type(error).__name__} was raised"
            fail(self.doing, came, "a result, or a ProviderError", "what-a-reply-must-be")

    @property
    def left(self) -> float:
        """Seconds until a step that gives no way to others has lasted too long."""
        return self.begun + self.seconds + 1 - time.monotonic()

    def give_up(self) -> NoReturn:
        fail(
            self.doing,
            f"nothing had come after {self.seconds:g} seconds",
            "an end within limits.timeout; patience= is for a model that needs longer",
            "what-a-reply-must-be",
        )


def in_time(steps: Steps, coroutine: Coroutine[Any, Any, T]) -> T:
    """What the coroutine gives, run on an event loop of its own in a thread of its own; CheckFailed
    if one of its steps does not end, be it that it waits or that it never gives way.
    """
    value: list[T] = []
    error: list[BaseException] = []

    def work() -> None:
        try:
            value.append(asyncio.run(coroutine))
        except BaseException as caught:
            error.append(caught)

    thread = threading.Thread(target=work, daemon=True, name="llmattn-kit")
    steps.begun = time.monotonic()
    thread.start()
    while thread.is_alive():
        thread.join(max(0.05, steps.left))
        if thread.is_alive() and steps.left <= 0:
            steps.give_up()
    if error:
        raise error[0]
    return value[0]


def shown(text: object, most: int = 80) -> str:
    """A value for a message: on one line, not endless, without addresses of objects."""
    flat = re.sub(r"0x[0-9a-f]+", "0x...", " ".join(repr(text).split()))
    return flat if len(flat) <= most else f"{flat[: most - 3]}..."
