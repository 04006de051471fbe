"""What an exception of the library says, in one line."""

from __future__ import annotations

__all__ = ["first_line"]


def first_line(error: Exception) -> str:
    """The first line of its text, without a full stop; its type's name if it has no text."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].rstrip(" .")
