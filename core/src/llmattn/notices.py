"""Lines for people: on stderr, so that stdout holds results alone; without secrets, harmless."""

from __future__ import annotations

import sys

from llmattn.printable import printable
from llmattn.secrets import redact

__all__ = ["confirm", "forget_told", "notify", "notify_once", "person_is_there"]

_told: set[str] = set()


def notify(message: str) -> None:
    """Write one message to stderr at once; what could act on a terminal is written out."""
    sys.stderr.write(f"{printable(redact(message))}\n")
    sys.stderr.flush()


def notify_once(message: str) -> None:
    """As :func:`notify`, but a message that this process has had before is left out."""
    if message not in _told:
        _told.add(message)
        notify(message)


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
