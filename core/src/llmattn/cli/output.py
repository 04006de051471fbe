"""What commands print on stdout: lines for people, JSON for programs, and sampled text."""

from __future__ import annotations

import json
import sys
from typing import Any

import typer

from llmattn.printable import printable

__all__ = ["echo", "echo_json", "echo_sampled"]

_JOINERS = "\u200c\u200d"
"""They belong to the spelling of some scripts, and to pictures made of several."""


def echo(text: str = "", *, err: bool = False) -> None:
    """Print lines for people; what could act on a terminal is written out."""
    typer.echo(printable(text), err=err)  # noqa: TID251


def echo_json(data: Any, *, indent: int | None = None) -> None:
    """Print JSON, which is ASCII."""
    typer.echo(json.dumps(data, indent=indent, default=str))  # noqa: TID251


def echo_sampled(text: str, *, end: str = "") -> None:
    """Print text that a model made, at once: as it is into a file, harmless on a terminal."""
    if sys.stdout.isatty():
        text = printable(text, keep=f"\n\t{_JOINERS}")
    typer.echo(text + end, nl=False)  # noqa: TID251
    sys.stdout.flush()
