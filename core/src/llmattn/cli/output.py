"""What commands print on stdout: lines for people, JSON for programs, and sampled text."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from llmattn.notices import notify
from llmattn.paths import user_path
from llmattn.printable import printable

__all__ = ["ask_for_place", "echo", "echo_columns", "echo_json", "echo_sampled"]

_JOINERS = "\u200c\u200d"
"""They belong to the spelling of some scripts, and to pictures made of several."""


def echo(text: str = "", *, err: bool = False) -> None:
    """Print lines for people; what could act on a terminal is written out."""
    typer.echo(printable(text), err=err)  # noqa: TID251


def echo_columns(rows: Sequence[Sequence[str]]) -> None:
    """Print rows below each other, no cell of them cut or broken, however narrow the terminal."""
    shown = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*shown, strict=True)]
    for row in shown:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        echo("  ".join(cells).rstrip())


def echo_json(data: Any, *, indent: int | None = None, err: bool = False) -> None:
    """Print JSON, which is ASCII."""
    typer.echo(json.dumps(data, indent=indent, default=str), err=err)  # noqa: TID251


def ask_for_place(why: str) -> Path | None:
    """Where else a file is to go, asked at a terminal; None if there is none, or no answer."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    notify(why)
    try:
        answer = typer.prompt("Write it to another file", default="", err=True, show_default=False)
    except typer.Abort:
        return None
    return user_path(answer) if answer else None


def echo_sampled(text: str, *, end: str = "") -> None:
    """Print text that a model made, at once: as it is into a file, harmless on a terminal."""
    if sys.stdout.isatty():
        text = printable(text, keep=f"\n\t{_JOINERS}")
    typer.echo(text + end, nl=False)  # noqa: TID251
    sys.stdout.flush()
