"""Runs a plugin's code so that it harms nobody: what it raises, prints, reads and waits for."""

from __future__ import annotations

import contextvars
import ctypes
import io
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Generic, TypeVar

from attrs import define

from llmattn import signals
from llmattn.printable import printable
from llmattn.secrets import redact

__all__ = ["Outcome", "TookTooLong", "is_interrupt", "one_line", "printing_apart", "run_apart"]

T = TypeVar("T")

_MOST_KEPT = 4096
"""Bytes of what a plugin prints that are kept, to tell of."""
_MOST_SAID = 400
"""Letters of a reason: what is longer is no sentence."""


class TookTooLong(Exception):
    """What was run apart has not ended within its limit."""


@define
class Outcome(Generic[T]):
    """What came of code that was run apart: a value, or what it raised; and what it printed."""

    value: T | None = None
    error: BaseException | None = None
    printed: str = ""


def one_line(what: BaseException | str) -> str:
    """An error's kind and words, or a text, as one harmless line without secrets."""
    if isinstance(what, BaseException):
        try:
            words = str(what)
        except BaseException:  # an error's own text may fail, with anything
            words = "(its text cannot be shown)"
        what = f"{type(what).__name__}: {words}" if words else type(what).__name__
    text = printable(" ".join(redact(what).split()), keep="")
    return text if len(text) <= _MOST_SAID else f"{text[:_MOST_SAID]}..."


def is_interrupt(error: BaseException) -> bool:
    """Whether an error is somebody's wish to stop, and not a plugin's own doing."""
    return isinstance(error, KeyboardInterrupt) and (signals.received() or not signals.is_command())


def run_apart(
    work: Callable[[], T], *, limit: float, told_after: float, tell: Callable[[], None]
) -> Outcome[T]:
    """Run ``work`` in a thread of its own, with an empty standard input, and catch what it prints.

    ``tell`` is called if it takes longer than ``told_after`` seconds; after ``limit`` seconds it is
    left to itself, told to end, and its error is TookTooLong. Raises nothing but KeyboardInterrupt.
    """
    outcome: Outcome[T] = Outcome()
    context = contextvars.copy_context()

    def run() -> None:
        try:
            value = context.run(work)
        except BaseException as error:  # sys.exit() is one
            outcome.error = error
        else:
            outcome.value = value

    thread = threading.Thread(target=run, name="llmattn plugin", daemon=True)
    begun = time.monotonic()
    told = False
    with printing_apart() as caught:
        thread.start()
        while thread.is_alive() and (left := begun + limit - time.monotonic()) > 0:
            thread.join(min(left, 0.5))
            if not told and thread.is_alive() and time.monotonic() - begun > told_after:
                told = True
                tell()
    outcome.printed = one_line(caught.text())
    if thread.is_alive():
        _ask_to_end(thread)
        return Outcome(error=TookTooLong(), printed=outcome.printed)
    return outcome


def _ask_to_end(thread: threading.Thread) -> None:
    """Have Python code that runs on and on raise SystemExit; what waits, once it goes on."""
    number = ctypes.c_ulong(thread.ident or 0)
    with suppress(AttributeError):  # another Python than CPython
        ctypes.pythonapi.PyThreadState_SetAsyncExc(number, ctypes.py_object(SystemExit))


class _Kept(io.RawIOBase):
    """Takes what is printed, and keeps the beginning."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        view = memoryview(data)  # type: ignore[arg-type]
        self._kept += view[: max(0, _MOST_KEPT - len(self._kept))]
        return view.nbytes

    def text(self) -> str:
        """The beginning of what was printed."""
        return self._kept.decode("utf-8", "replace")


@contextmanager
def printing_apart() -> Iterator[_Kept]:
    """Within, standard input is empty and what is printed is caught, so that a command's own output
    stays whole. In a command that holds for what C code and other programs write and read, too.
    """
    kept = _Kept()
    stream = io.TextIOWrapper(io.BufferedWriter(kept), "utf-8", "replace", write_through=True)
    before = sys.stdin, sys.stdout
    with open(os.devnull, encoding="utf-8") as nothing, ExitStack() as back:
        if signals.is_command():
            with suppress(OSError, ValueError, AttributeError):
                sys.stdout.flush()
            _redirect(back, 0, os.open(os.devnull, os.O_RDONLY))
            with suppress(OSError):
                _redirect(back, 1, os.dup(2))
        sys.stdin, sys.stdout = nothing, stream
        try:
            yield kept
        finally:
            sys.stdin, sys.stdout = before
            with suppress(ValueError):
                stream.flush()


def _redirect(back: ExitStack, number: int, instead: int) -> None:
    """Have the descriptor ``number`` lead where ``instead`` does, until ``back`` is closed."""
    try:
        kept = os.dup(number)
    except OSError:  # it is closed, so nothing reads or writes it
        os.close(instead)
        return
    back.callback(os.close, kept)
    back.callback(os.dup2, kept, number)
    os.dup2(instead, number)
    os.close(instead)
