"""Heat maps on a terminal that has colours, for texts short enough to fit."""

from __future__ import annotations

import numpy as np
from rich.console import Console  # noqa: TID251  (a type; make_console makes it)
from rich.style import Style
from rich.text import Text

from llmattn.console import make_console
from llmattn.view.maps import Maps, Sheet, token_label
from llmattn.view.scales import Scale, fit_scale, usual_scale

__all__ = ["print_heat"]

_MOST_MAPS = 4
_COLOURS = (
    *((20, 22, 42), (33, 45, 94), (36, 84, 138), (38, 130, 142), (53, 183, 121)),
    *((160, 218, 57), (253, 231, 37)),
)
"""From nothing to the most."""


def print_heat(sheet: Sheet, scale: str | None = None) -> None:
    """Some maps of each source, if standard output is a terminal with colours and the text fits.

    A row a query, two columns a key; a token's name stands where its row ends.
    """
    console = make_console()
    labels = [token_label(token) for token in sheet.tokens]
    if not (console.is_terminal and console.color_system and not console.no_color):
        return
    if _width(labels) > console.width:
        return
    scale = scale or usual_scale(len(labels))
    for source in sheet.sources:
        _print_source(console, source, labels, scale)


def _width(labels: list[str]) -> int:
    return max(2 * n + 3 + Text(label).cell_len for n, label in enumerate(labels))


def _print_source(console: Console, source: Maps, labels: list[str], scale: str) -> None:
    count = len(source.names)
    few = np.unique(np.linspace(0, count - 1, min(_MOST_MAPS, count)).round().astype(int))
    fit = fit_scale(scale, source.values)
    for number in few.tolist():
        console.print(f"{source.source} {source.names[number]}")
        matrix = source.values[number]
        own = fit if scale != "rank" else fit_scale(scale, matrix[None])
        for query, places in enumerate(own.places(matrix)):
            line = Text()
            for place in places[: query + 1]:
                line.append("··" if np.isnan(place) else "  ", _style(float(place)))
            console.print(line.append(f" {labels[query]}"))
        console.print(_legend(own))
    if count > len(few):
        console.print(f"{len(few)} of {count} maps; the others: --out FILE.html")


def _style(place: float) -> Style:
    if np.isnan(place):
        return Style(dim=True)
    at = place * (len(_COLOURS) - 1)
    low = min(int(at), len(_COLOURS) - 2)
    share = at - low
    mixed = (
        round(a + share * (b - a)) for a, b in zip(_COLOURS[low], _COLOURS[low + 1], strict=True)
    )
    return Style(bgcolor="rgb({},{},{})".format(*mixed))


def _legend(scale: Scale) -> Text:
    line = Text(f"{scale.value_at(0):.2g} ")
    for step in range(12):
        line.append(" ", _style(step / 11))
    return line.append(f" {scale.value_at(1):.2g} ({scale.name})\n")
