"""Ctrl-C and SIGTERM as a wish that the loop looks at after each step."""

from __future__ import annotations

import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from llmattn.notices import notify

__all__ = ["StopWish"]


class StopWish:
    """A context manager; within it the first signal sets :attr:`wanted`, and says so unless
    ``quiet``; a second one acts as it always does.
    """

    signals = (signal.SIGINT, signal.SIGTERM)

    def __init__(self, *, quiet: bool = False) -> None:
        self.wanted = False
        self._quiet = quiet
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopWish:
        if threading.current_thread() is threading.main_thread():  # others may not set handlers
            for number in self.signals:
                self._before[number] = signal.signal(number, self._receive)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._restore()

    def _receive(self, number: int, frame: FrameType | None) -> None:
        self.wanted = True
        self._restore()
        if not self._quiet:
            notify("Stopping after this step; once more to stop at once, without a checkpoint.")

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}
