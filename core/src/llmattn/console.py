"""The console of rich as llmattn uses it: what tables and lines hold is text, never a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console  # noqa: TID251  (here it is made harmless)

from llmattn.printable import printable

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["make_console"]


def make_console(*, stderr: bool = False) -> Console:
    """A console that reads no markup or emoji names out of what it prints, and writes out control
    characters in it.
    """
    return _Harmless(stderr=stderr, markup=False, emoji=False, highlight=False)


class _Harmless(Console):
    """Each string that is printed, or stands in a table, becomes a text here."""

    def render_str(self, text: str, **style: Any) -> Text:
        return super().render_str(printable(text), **style)
