"""Ctrl-C, and what stops a command as it does, as a wish that the loop looks at after each step."""

from __future__ import annotations

from contextlib import ExitStack
from types import TracebackType
from typing import Protocol

from llmattn.notices import notify
from llmattn.signals import handled_by

__all__ = ["Stop", "StopWish"]


class Stop(Protocol):
    """What training looks at after each step."""

    @property
    def wanted(self) -> bool:
        """Whether it is to stop."""
        ...


class StopWish:
    """A context manager; within it the first signal sets :attr:`wanted`, and says so unless
    ``quiet``; a second one acts as it always does.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.wanted = False
        self._quiet = quiet
        self._handling = ExitStack()

    def __enter__(self) -> StopWish:
        self._handling.enter_context(handled_by(self._receive))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._handling.close()

    def _receive(self) -> None:
        self.wanted = True
        self._handling.close()
        if not self._quiet:
            notify("Stopping after this step; once more to stop at once, without a checkpoint.")
