"""Typer as llmattn uses it: help that shows no type of a flag and breaks no line by itself."""

from __future__ import annotations

import inspect
from typing import Any

import typer
from typer.core import TyperCommand

__all__ = ["App"]


class _Command(TyperCommand):
    def __init__(self, name: str | None, **given: Any) -> None:
        text = inspect.cleandoc(given.get("help") or "")
        given["help"] = "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
        super().__init__(name, **given)

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters; what a flag takes is nothing, which typer would call <bool>."""
        found: list[Any] = super().get_params(ctx)
        for each in found:
            if getattr(each, "is_flag", False):
                each.metavar = ""
        return found


class App(typer.Typer):
    """A group of commands."""

    def command(self, name: str | None = None, **more: Any) -> Any:
        """As typer's."""
        return super().command(name, **{"cls": _Command, **more})
