"""Lines for people: on stderr, so that stdout holds results alone; without secrets, harmless."""

from __future__ import annotations

import sys

from llmattn.printable import printable
from llmattn.secrets import redact

__all__ = ["forget_told", "notify", "notify_once"]

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


def forget_told() -> None:
    """A new command begins, which tells everything anew."""
    _told.clear()
