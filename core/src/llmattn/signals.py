"""Signals that ask a command to stop: each is what Ctrl-C is, but for the exit code.

Only the command line sets handlers. In a program that uses the library Python's own stay.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import contextmanager, suppress

TYPE_CHECKING = False  # typing takes milliseconds to load, in which Ctrl-C shows a traceback
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType, TracebackType
    from typing import Any, NoReturn

__all__ = [
    "NUMBERS",
    "as_interrupts",
    "by_key",
    "end",
    "exit_code",
    "forget",
    "handled_by",
    "is_command",
    "leave_at_once",
    "leave_behind",
    "received",
    "take_over",
]

NUMBERS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")
    if hasattr(signal, name)
)
"""Ctrl-C; docker stop, systemd, schedulers; a closed terminal; Ctrl-Break on Windows."""

_AT_ONCE = 0.2
"""Seconds in which several signals are one wish: systemd sends SIGHUP along with SIGTERM, a shell
passes on the SIGHUP that the closed terminal sends as well, and torchrun what its processes got.
"""

_last: int | None = None
_last_at = 0.0
_is_command = False
_is_process = False
_left_behind = False


def received() -> bool:
    """Whether a signal has asked this command to stop."""
    return _last is not None


def by_key() -> bool:
    """Whether the last one was Ctrl-C, which a person at a prompt may mean for the prompt alone."""
    return _last in (None, signal.SIGINT)


def is_command() -> bool:
    """Whether this process, or what runs in it now, is a command: not a program that uses the
    library.
    """
    return _is_command


def forget() -> None:
    """What was received has been dealt with, and the command goes on."""
    global _last
    _last = None


def exit_code() -> int:
    """What a shell expects of a command that a signal has stopped: 128 and the signal's number."""
    return 128 + (signal.SIGINT if _last is None else _last)


@contextmanager
def handled_by(receive: Callable[[], None]) -> Iterator[None]:
    """Within it each of the signals calls ``receive``, in the main thread.

    One that is ignored stays so, as SIGHUP does under nohup. Does nothing in another thread, which
    may not set handlers.
    """
    before = _install(receive)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def as_interrupts() -> Iterator[None]:
    """Within it each of the signals raises KeyboardInterrupt: for a command in a process that has
    more to do.
    """
    global _is_command
    before, hook = _is_command, sys.unraisablehook
    forget()
    try:
        with handled_by(_interrupt):
            _is_command, sys.unraisablehook = True, _once_more
            yield
    finally:
        _is_command, sys.unraisablehook = before, hook


@contextmanager
def take_over() -> Iterator[None]:
    """The whole process is a command: as :func:`as_interrupts`, and what nothing has caught ends it
    in one line. Afterwards nothing is left to do, and a signal ends it at once.
    """
    global _is_command, _is_process
    hook = sys.excepthook

    def one_line(
        kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        if not issubclass(kind, KeyboardInterrupt):
            hook(kind, error, trace)
            return
        sys.stderr.write("interrupted\n")
        _leave()

    sys.excepthook, sys.unraisablehook = one_line, _once_more
    _is_command = _is_process = True
    _install(_interrupt)
    try:
        yield
    finally:
        _install(_leave)


def leave_at_once() -> None:
    """End this process without waiting for any thread of it, if it is a command; in a program
    that uses the library do nothing.
    """
    if _is_command:
        _leave()


def leave_behind() -> None:
    """Something goes on in a thread that nothing can end: a process that is a command ends all the
    same once its work is done.
    """
    global _left_behind
    _left_behind = True


def end(code: int) -> NoReturn:
    """End a command with this exit code, without waiting for what was left behind."""
    if _left_behind and _is_process:
        _leave(code)
    sys.exit(code)


def _install(receive: Callable[[], None]) -> dict[int, Any]:
    """Have each signal that is not ignored call ``receive``; gives what was called before."""

    def handle(number: int, frame: FrameType | None) -> None:
        if _is_new(number):
            receive()

    before: dict[int, Any] = {}
    if threading.current_thread() is threading.main_thread():
        for number in NUMBERS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, handle)
    return before


def _is_new(number: int) -> bool:
    """Note a signal; whether it says more than the one before. Ctrl-C always does, and whoever
    sends the same signal again.
    """
    global _last, _last_at
    now = time.monotonic()
    passed_on = number != _last or number == getattr(signal, "SIGHUP", None)
    passed_on = passed_on or "TORCHELASTIC_RUN_ID" in os.environ
    if _last is not None and now < _last_at + _AT_ONCE and passed_on and number != signal.SIGINT:
        return False
    _last, _last_at = number, now
    return True


def _interrupt() -> None:
    raise KeyboardInterrupt


def _leave(code: int | None = None) -> NoReturn:
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(exit_code() if code is None else code)


def _once_more(lost: Any) -> None:
    """Python drops an interrupt that comes while it frees an object, and shows a traceback: send
    it again, a moment later.
    """
    if not issubclass(lost.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(lost)
        return
    again = threading.Timer(_AT_ONCE, signal.raise_signal, [_last or signal.SIGINT])
    again.daemon = True
    again.start()
