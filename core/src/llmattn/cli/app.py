"""Typer as llmattn uses it: help that shows no type of a flag and breaks no line by itself."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

__all__ = ["App", "Group"]

F = TypeVar("F", bound=Callable[..., Any])


class _Plain:
    def __init__(self, *name: str | None, **given: Any) -> None:
        text = inspect.cleandoc(given.get("help") or "")
        given["help"] = "\n\n".join(" ".join(part.split()) for part in text.split("\n\n"))
        super().__init__(*name, **given)

    def get_params(self, ctx: Any) -> list[Any]:
        """The parameters; what a flag takes is nothing, which typer would call <bool>."""
        found: list[Any] = super().get_params(ctx)  # type: ignore[misc]
        for each in found:
            if getattr(each, "is_flag", False):
                each.metavar = ""
        return found


class _Command(_Plain, TyperCommand):
    pass


class Group(_Plain, TyperGroup):
    """What holds several commands, as the command line has it."""


class App(typer.Typer):
    """A group of commands."""

    def __init__(self, **given: Any) -> None:
        super().__init__(**{"cls": Group, **given})

    def command(self, name: str | None = None, **more: Any) -> Callable[[F], F]:
        """As typer's."""
        return super().command(name, **{"cls": _Command, **more})
