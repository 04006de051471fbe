"""Numbers as people write them."""

from __future__ import annotations

__all__ = ["counted", "signed"]


def counted(count: float, noun: str) -> str:
    """``1 request``, ``2,000 requests``: a count with its noun, which takes an s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def signed(value: float, digits: int) -> str:
    """A number with its sign, of which a zero has none: ``+0.012``, ``-0.3``, ``0.000``."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else text[1:]
