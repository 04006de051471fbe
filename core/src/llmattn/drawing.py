"""Whether pictures can be drawn. Light: imports no matplotlib."""

from __future__ import annotations

from importlib.util import find_spec

from llmattn.errors import ConfigError

__all__ = ["can_draw", "need_drawing"]


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def need_drawing() -> None:
    """Raises ConfigError if matplotlib is not installed."""
    if not can_draw():
        raise ConfigError("Drawing needs matplotlib: pip install 'llmattn-core[plot]'")
