"""Writes docs/commands.md out of the commands themselves: ``make reference``.

tests/core/test_reference.py says whether the page is in step with them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer
from llmattn.cli.main import app

PAGE = Path(__file__).with_name("commands.md")

_HEAD = """# The commands

Made by `make reference` out of what `llmattn COMMAND --help` shows; do not edit. Every command
takes `--debug` (log requests, keys hidden, and show tracebacks) and `--help`. A text or a
checkpoint may be typed with its option's name and without: `llmattn plan own.txt`, `llmattn plan
--corpus own.txt`.
"""


def page() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_commands("llmattn", typer.main.get_command(app))])


def _commands(name: str, command: Any) -> Iterator[str]:
    """The sections of a command, or of all that it holds."""
    if hasattr(command, "commands"):
        for each, inner in command.commands.items():
            yield from _commands(f"{name} {each}", inner)
        return
    yield f"## {name}\n"
    yield " ".join(_usage(name, command)) + "\n"
    yield f"{command.help}\n"
    known = getattr(command.callback, "options", dict)()
    panels: dict[str, list[str]] = {}
    for parameter in command.params:
        panel = getattr(parameter, "rich_help_panel", None) or ""
        if parameter.name != "help" and not getattr(parameter, "hidden", False):
            panels.setdefault(panel, []).append(_row(parameter, known.get(parameter.name)))
    for panel, rows in panels.items():
        if panel:
            yield f"**{panel}**\n"
        yield "\n".join(["| | default | |", "|---|---|---|", *rows, ""])


def _usage(name: str, command: Any) -> Iterator[str]:
    yield f"`{name}"
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            yield parameter.metavar or parameter.name.upper()
    yield "[OPTIONS]`"


def _row(parameter: Any, said: Any) -> str:
    """A row of a table: how it is typed, what it is without, what it means and may be."""
    if parameter.param_type_name == "argument":
        typed = parameter.metavar or parameter.name.upper()
    else:
        typed = ", ".join(sorted(parameter.opts, key=len))
        typed += f" / {parameter.secondary_opts[0]}" if parameter.secondary_opts else ""
        typed += "" if parameter.is_flag else f" {parameter.metavar or _kind(parameter)}"
    default = parameter.default
    unset = default is None or default is False or default in ("", [], ())
    shown = "" if unset else f"`{_text(default)}`"
    meaning = _text(parameter.help or "")
    if said is not None and said.wanted and not said.wanted.startswith("one of"):
        meaning += f" Must be {said.wanted}."
    return f"| `{typed}` | {shown} | {meaning} |"


def _kind(parameter: Any) -> str:
    kind = parameter.type_descriptor.annotation
    return {int: "INT", float: "FLOAT", Path: "PATH"}.get(kind, "TEXT")


def _text(value: object) -> str:
    """In a cell of a table."""
    return str(value).replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
