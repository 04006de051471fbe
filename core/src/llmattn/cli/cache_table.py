"""The table of ``llmattn cache ls``: a line a namespace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.filesize import decimal

from llmattn.cache.protocol import NamespaceInfo
from llmattn.cli.cache_options import told_apart
from llmattn.cli.packed import date
from llmattn.console import Table
from llmattn.feeds.packed_folder import Packed

__all__ = ["cost", "namespace_table"]

_DIGITS = 8
"""Of a namespace's id that a line shows; they name it, as any beginning of it does."""
_DAY = 10
"""Letters of a date without its hour."""
_NUMBERS = ("pairs", "size", "packed", "cost")


def namespace_table(listed: Sequence[NamespaceInfo], packed: Mapping[str, Packed]) -> Table:
    """``packed``: what is packed, by namespace, with those of which no scores are left."""
    packed = dict(packed)
    columns: dict[str, list[str]] = {
        "namespace": [info.namespace[:_DIGITS] for info in listed],
        "scores of": told_apart(listed),
        "pairs": [f"{info.pairs:,}" for info in listed],
        "size": [decimal(info.bytes) for info in listed],
        "packed": [_packed_size(packed.pop(info.namespace, None)) for info in listed],
        "cost": [cost(info) for info in listed],
        "updated": [date(info.updated)[:_DAY] for info in listed],
    }
    for orphan in packed.values():
        cells = (orphan.namespace[:_DIGITS], "(no scores)", "0", "-", _packed_size(orphan), "-")
        for column, cell in zip(
            columns.values(), (*cells, date(orphan.updated)[:_DAY]), strict=True
        ):
            column.append(cell)
    table = Table(box=None, pad_edge=False)
    for name, column in columns.items():  # a narrow terminal has no room for what says nothing
        if name not in ("packed", "cost") or set(column) != {"-"}:
            style: dict[str, Any] = {"justify": "right"} if name in _NUMBERS else {}
            if name == "scores of":
                style = {"no_wrap": True, "overflow": "ellipsis"}
            table.add_column(name, **style)
    shown = [columns[str(column.header)] for column in table.columns]
    for row in zip(*shown, strict=True):
        table.add_row(*row)
    return table


def _packed_size(found: Packed | None) -> str:
    return decimal(found.bytes) if found else "-"


def cost(info: NamespaceInfo) -> str:
    """What its scores have cost, as far as that is known."""
    if info.usage.cost:
        return f"${info.usage.cost:.4f}"
    return "not known" if info.usage.prompt_tokens else "-"
