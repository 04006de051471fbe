"""The console of rich as llmattn uses it: what tables and lines hold is text, never a command."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from rich import table
from rich.console import Console  # noqa: TID251  (here it is made harmless)

from llmattn.printable import printable

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["Table", "make_console"]

_WIDE = 200
"""Columns where there is no terminal, whose width would be one: what is read in a file or by a
program must not be cut.
"""


def make_console(*, stderr: bool = False) -> Console:
    """A console that reads no markup or emoji names out of what it prints, and writes out control
    characters in it.
    """
    console = _Harmless(stderr=stderr, markup=False, emoji=False, highlight=False)
    if not console.is_terminal and not os.environ.get("COLUMNS"):
        console.width = _WIDE
    return console


class Table(table.Table):
    """A table whose cells go on in the next line where there is no room, and are never cut."""

    def add_column(self, *heads: Any, **style: Any) -> None:
        super().add_column(*heads, **{"overflow": "fold", **style})


class _Harmless(Console):
    """Each string that is printed, or stands in a table, becomes a text here."""

    def render_str(self, text: str, **style: Any) -> Text:
        return super().render_str(printable(text), **style)
