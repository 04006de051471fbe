"""Whether pictures can be drawn. Light: imports no matplotlib."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from llmattn.errors import ConfigError
from llmattn.places import check_place

__all__ = ["can_draw", "check_picture", "need_drawing"]


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def need_drawing() -> None:
    """Raises ConfigError if matplotlib is not installed."""
    if not can_draw():
        raise ConfigError("Drawing needs matplotlib: pip install 'llmattn-core[plot]'")


def check_picture(path: Path, option: str) -> None:
    """Raise ConfigError unless a picture can be drawn into ``path``, which ``option`` named."""
    need_drawing()
    from matplotlib.backend_bases import FigureCanvasBase

    known = FigureCanvasBase.get_supported_filetypes()
    if path.suffix[1:].lower() not in known:
        raise ConfigError(
            f"{option} {path}: the ending names the format, one of {', '.join(sorted(known))}."
        )
    check_place(path, option)
