"""Lines for people: on stderr, so that stdout holds results alone; secrets removed."""

from __future__ import annotations

import sys

from llmattn.secrets import redact

__all__ = ["notify"]


def notify(message: str) -> None:
    """Write one message to stderr at once."""
    sys.stderr.write(f"{redact(message)}\n")
    sys.stderr.flush()
