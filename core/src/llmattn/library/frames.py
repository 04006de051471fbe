"""Results as tables: of pandas, which is imported here alone, and as HTML for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from llmattn.errors import ConfigError
from llmattn.view.maps import Floats, token_label
from llmattn.view.page import escaped

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["frame", "heat_table", "html_list", "html_table"]

MOST_TOKENS = 48
"""Of a text, as many as a notebook's cell has room for."""

_CELL = "padding:2px 6px;text-align:right"


def frame(data: Mapping[str, Any] | Floats, **more: Any) -> DataFrame:
    """A data frame. Raises ConfigError where pandas is not installed."""
    try:
        pandas = import_module("pandas")
    except ImportError:
        raise ConfigError("to_pandas() needs pandas: pip install 'llmattn-core[pandas]'") from None
    made: DataFrame = pandas.DataFrame(data, **more)
    return made


def html_table(rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """Text, the headings first, as a table."""
    heads, *others = rows
    lines = ["<table>", f"<caption>{escaped(caption)}</caption>" if caption else ""]
    lines.append(_row(f'<th scope="col">{escaped(head)}</th>' for head in heads))
    for first, *rest in others:
        cells = (f'<td style="{_CELL}">{escaped(each)}</td>' for each in rest)
        lines.append(_row((f'<th scope="row">{escaped(first)}</th>', *cells)))
    return "".join([*lines, "</table>"])


def html_list(sentences: Iterable[str]) -> str:
    """Sentences as a list."""
    return f"<ul>{''.join(f'<li>{escaped(each)}</li>' for each in sentences)}</ul>"


def heat_table(matrix: Floats, tokens: Sequence[str], caption: str) -> str:
    """A matrix ``(T, T)`` of its first tokens, the darker the more of its row's largest."""
    shown = min(len(tokens), MOST_TOKENS)
    labels = [escaped(token_label(token)) for token in tokens[:shown]]
    if shown < len(tokens):
        caption += f" (the first {shown} of {len(tokens)} tokens)"
    lines = [f"<table><caption>{escaped(caption)}</caption>"]
    lines.append(_row(["<td></td>", *(f'<th scope="col">{label}</th>' for label in labels)]))
    for i, label in enumerate(labels):
        row = np.nan_to_num(matrix[i, : i + 1])
        most = max(float(row.max(initial=0.0)), 1e-9)
        cells = (
            f'<td style="{_CELL};background:rgba(64,128,255,{max(0.0, value) / most * 0.6:.2f})">'
            f"{value:.2f}</td>"
            if known
            else "<td>?</td>"
            for value, known in zip(row.tolist(), ~np.isnan(matrix[i, : i + 1]), strict=True)
        )
        lines.append(_row((f'<th scope="row">{label}</th>', *cells)))
    return "".join([*lines, "</table>"])


def _row(cells: Iterable[str]) -> str:
    return f"<tr>{''.join(cells)}</tr>"
