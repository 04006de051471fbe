"""Lines for people, as records of the logger ``llmattn.notices``: without secrets, harmless.

Who hears them is up to the program: the command line writes them to stderr, others hear nothing
unless they set up :mod:`logging`.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from llmattn.printable import printable
from llmattn.secrets import redact

__all__ = [
    "LOGGER",
    "confirm",
    "forget_told",
    "notify",
    "notify_once",
    "person_is_there",
    "silence",
    "warn",
    "warn_once",
]

LOGGER = logging.getLogger(__name__)
# What the library tells is for those who set up logging to hear it.
logging.getLogger("llmattn").addHandler(logging.NullHandler())

_told: set[str] = set()
_silent: ContextVar[bool] = ContextVar("silent", default=False)


def notify(message: str, level: int = logging.INFO) -> None:
    """Log one message; what could act on a terminal is written out."""
    if LOGGER.isEnabledFor(level) and not _silent.get():
        LOGGER.log(level, printable(redact(message)))


def warn(message: str) -> None:
    """As :func:`notify`, for what is not as the user will have thought."""
    notify(message, logging.WARNING)


def notify_once(message: str, level: int = logging.INFO) -> None:
    """As :func:`notify`, but a message that this process has had before is left out."""
    if message not in _told and not _silent.get():
        _told.add(message)
        notify(message, level)


def warn_once(message: str) -> None:
    """As :func:`warn`, but a message that this process has had before is left out."""
    notify_once(message, logging.WARNING)


def person_is_there() -> bool:
    """Whether somebody at a terminal could read a question and answer it."""
    return all(stream is not None and stream.isatty() for stream in (sys.stdin, sys.stderr))


def confirm(question: str) -> bool:
    """Ask a person on stderr; anything but a yes is a no."""
    sys.stderr.write(f"{printable(redact(question))} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def forget_told() -> None:
    """A new command begins, which tells everything anew."""
    _told.clear()


@contextmanager
def silence() -> Iterator[None]:
    """Within, this thread tells nothing: what it does has been told before."""
    before = _silent.set(True)
    try:
        yield
    finally:
        _silent.reset(before)
