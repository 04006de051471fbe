"""Lines for people: on stderr, so that stdout holds results alone; without secrets, harmless."""

from __future__ import annotations

import sys

from llmattn.printable import printable
from llmattn.secrets import redact

__all__ = ["notify"]


def notify(message: str) -> None:
    """Write one message to stderr at once; what could act on a terminal is written out."""
    sys.stderr.write(f"{printable(redact(message))}\n")
    sys.stderr.flush()
