"""A sheet as one offline HTML page: heat maps, arcs over the text, and the numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import Any

import numpy as np

from llmattn.printable import printable
from llmattn.view.maps import Floats, Maps, Sheet, lines_of, token_label
from llmattn.view.packing import UNKNOWN, Packed, in_base64, pack
from llmattn.view.page import asset, escaped, render_page, save_page
from llmattn.view.scales import SCALES, Scale, fit_scale, usual_scale
from llmattn.wording import counted

__all__ = ["save_sheet", "sheet_page"]

_LEGEND = (0.0, 0.25, 0.5, 0.75, 1.0)
_LAYER_AND_HEAD = re.compile(r"(L\d+|layer \d+)[\s,.]*(H\d+|head \d+)")


def save_sheet(sheet: Sheet, path: Path, scale: str | None = None) -> None:
    """Write :func:`sheet_page` to ``path``. Raises ConfigError."""
    save_page(sheet_page(sheet, scale), path)


def sheet_page(sheet: Sheet, scale: str | None = None) -> str:
    """The page, which opens with ``scale``. Raises ConfigError for more than a page can hold."""
    labels = [token_label(token) for token in sheet.tokens]
    packed = iter(pack([matrix for source in sheet.sources for matrix in source.values]))
    data: dict[str, Any] = {
        "tokens": _running(sheet.tokens),
        "labels": labels,
        "scale": scale or usual_scale(len(labels)),
        "unknown": UNKNOWN,
        "sources": [_source(source, labels, packed) for source in sheet.sources],
    }
    names = ", ".join(source.source for source in sheet.sources)
    count = sum(len(source.names) for source in sheet.sources)
    body = Template(asset("maps.html")).substitute(
        names=escaped(names),
        text=escaped("".join(data["tokens"])),
        size=counted(len(labels), "token"),
        count=counted(count, "map"),
    )
    return render_page(
        f"What attends to what: {names}",
        body,
        styles=["maps.css"],
        scripts=["maps.js", "maps_figure.js", "sheet.js"],
        data=data,
    )


def _running(tokens: Sequence[str]) -> list[str]:
    """The tokens as running text; words that came without spaces get them."""
    as_written = any(token[:1].isspace() and token.strip() for token in tokens)
    shown = []
    for place, token in enumerate(tokens):
        token = token.replace("<eol>", "\n")
        apart = " " if place and not as_written and any(map(str.isalnum, token)) else ""
        shown.append(apart + printable(token.replace("\n", "⏎"), keep="\t"))
    return shown


def _source(source: Maps, labels: Sequence[str], packed: Any) -> dict[str, Any]:
    lines = [lines_of(matrix) for matrix in source.values]
    shared = {name: fit_scale(name, source.values, lines) for name in SCALES if name != "rank"}
    maps = []
    for number, name in enumerate(source.names):
        matrix = source.values[number : number + 1]
        scales = {**shared, "rank": fit_scale("rank", matrix, lines[number : number + 1])}
        maps.append(
            {
                **_called(name),
                **_map(matrix[0], next(packed), scales),
                "lines": lines[number],
                "first": _first(matrix[0], labels, lines[number]),
            }
        )
    return {"name": printable(source.source, keep=""), "what": source.what, "maps": maps}


def _called(name: str) -> dict[str, str]:
    found = _LAYER_AND_HEAD.fullmatch(name)
    layer = {"layer": found[1], "head": found[2]} if found else {}
    return {"name": printable(name, keep=""), **layer}


def _map(matrix: Floats, packed: Packed, scales: dict[str, Scale]) -> dict[str, Any]:
    places = {
        name: in_base64(np.round(scale.places(packed.book) * 255).astype(np.uint8).tobytes())
        for name, scale in scales.items()
    }
    legend = {
        name: [_short(scale.value_at(place)) for place in _LEGEND] for name, scale in scales.items()
    }
    book = [_short(value, 5) for value in packed.book]
    return {"data": packed.data, "book": book, "places": places, "legend": legend}


def _short(value: float, digits: int = 3) -> float:
    return float(f"{value:.{digits}g}")


def _first(matrix: Floats, labels: Sequence[str], lines: Sequence[int]) -> int:
    """The query that is worth looking at first: that of the strongest pair of two words, of those
    that have many keys to choose from and do not choose the one next to them.
    """
    words = np.array([any(map(str.isalnum, label)) for label in labels])
    queries, keys = np.tril_indices(len(labels), -2)
    fit = (queries >= len(labels) // 2) & ~np.isin(keys, list(lines))
    fit &= words[queries] & words[keys]
    if not fit.any():
        return len(labels) - 1
    values = np.nan_to_num(matrix[queries[fit], keys[fit]])
    return int(queries[fit][np.argmax(values)])
