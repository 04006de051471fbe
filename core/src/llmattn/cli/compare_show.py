"""How a comparison is shown: the table and what follows from it."""

from __future__ import annotations

from rich import box

from llmattn.cli.output import echo
from llmattn.comparing.report import as_json, legend, table
from llmattn.comparing.results import Results
from llmattn.console import Table, make_console

__all__ = ["show"]

_LEFT_OUT = ("parameters", "bits a byte", "seconds")
"""Columns that a narrow terminal has no room for."""


def show(results: Results, *, json: bool) -> None:
    """Print all of it for programs, or the table for people."""
    if json:
        echo(as_json(results))
    else:
        _show_table(results)


def _show_table(results: Results) -> None:
    """The columns that fit a narrow terminal; report.md has all."""
    heads, *rows = table(results)
    shown = Table(box=box.SIMPLE_HEAD)
    chosen = [place for place, head in enumerate(heads) if head not in _LEFT_OUT]
    for place in chosen:
        head = heads[place].replace("over ", "over\n")
        if place:
            shown.add_column(head, justify="right", no_wrap=True)
        else:
            shown.add_column(head, overflow="fold")
    for row in rows:
        shown.add_row(*(row[place] for place in chosen))
    console = make_console()
    console.print(shown)
    console.print(legend(results))
    for warning in results.warnings():  # before anything is called better
        console.print(f"Beware: {warning}")
    for sentence in results.sentences():
        console.print(f"• {sentence}")
