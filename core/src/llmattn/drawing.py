"""Whether pictures can be drawn, and how they are written. Light: imports matplotlib if needed."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve

from llmattn.errors import ConfigError
from llmattn.writing import Kind, check_output, written

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["can_draw", "check_picture", "need_drawing", "save_picture"]

_MARK = "drawn by llmattn"
_PICTURE = Kind("a picture", lambda head, tail: _MARK.encode() in head or _MARK.encode() in tail)
_VECTORS: dict[str, Any] = {"metadata": {"Creator": _MARK}}
_MARKED: dict[str, dict[str, Any]] = {
    "png": {"metadata": {"Software": _MARK}},
    **dict.fromkeys(("svg", "pdf", "eps", "ps"), _VECTORS),
    **{name: {"pil_kwargs": {"comment": _MARK.encode()}} for name in ("jpg", "jpeg")},
    **{name: {"pil_kwargs": {"description": _MARK}} for name in ("tif", "tiff")},
    "webp": {"pil_kwargs": {"xmp": _MARK.encode()}},
}
"""Where a picture of each format says whose it is, so that it can be drawn again."""


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


def need_drawing() -> None:
    """Raises ConfigError if matplotlib is not installed."""
    if not can_draw():
        raise ConfigError("Drawing needs matplotlib: pip install 'llmattn-core[plot]'")


def check_picture(
    path: Path, said: str = "--out", *, in_folder: bool = False, others: Sequence[str] = ()
) -> None:
    """Raise ConfigError unless a picture can be written to ``path``, which the option ``said``
    names, or whose folder, see ``Kind.in_folder``. ``others``: formats that are no pictures.
    """
    need_drawing()
    from matplotlib.backend_bases import FigureCanvasBase

    formats = FigureCanvasBase.get_supported_filetypes()
    if _format(path) not in formats:
        raise ConfigError(
            f"{said} {path}: the name's end is the format of the picture, one of "
            f"{', '.join(sorted([*formats, *others]))}."
        )
    check_output(path, evolve(_PICTURE, in_folder=in_folder), said)


def save_picture(
    figure: Figure, path: Path, said: str = "--out", *, in_folder: bool = False
) -> Path:
    """Write a picture to ``path`` (its ending names the format), and give that back.

    Raises ConfigError as :func:`check_picture` does.
    """
    check_picture(path, said, in_folder=in_folder)
    kind = evolve(_PICTURE, in_folder=in_folder)
    with warnings.catch_warnings(), written(path, kind, said) as file:
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # a box stands for it
        figure.savefig(file, format=_format(path), dpi=150, **_MARKED.get(_format(path), {}))
    return path


def _format(path: Path) -> str:
    return path.suffix.removeprefix(".").lower() or "png"
