"""Numbers as people write them."""

from __future__ import annotations

__all__ = ["counted", "lasting", "signed"]


def counted(count: float, noun: str) -> str:
    """``1 request``, ``2,000 requests``: a count with its noun, which takes an s."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def lasting(seconds: float) -> str:
    """About how long: ``12 s``, ``7 min``, ``2 h 05 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def signed(value: float, digits: int) -> str:
    """A number with its sign, of which a zero has none: ``+0.012``, ``-0.3``, ``0.000``."""
    text = f"{value:+.{digits}f}"
    return text if float(text) else text[1:]
