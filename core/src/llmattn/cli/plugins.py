"""``llmattn plugins``: what is installed, what it offers, and what went wrong."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import typer
from rich.padding import Padding

from llmattn.cli.output import echo_json
from llmattn.console import Table, make_console
from llmattn.plugins import LoadedPlugin, Plugins, check_strictly, look_at_plugins
from llmattn.registry import Registered
from llmattn.settings import settings_help

if TYPE_CHECKING:
    from rich.console import Console  # noqa: TID251  (the type alone)

__all__ = ["plugins"]

log = logging.getLogger(__name__)


def plugins(
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of a table."),
    options: bool = typer.Option(False, "--options", help="Also list each one's options."),
) -> None:
    """List providers, caches and executors with the distributions that they come from."""
    found = look_at_plugins()
    for plugin in found.found:
        if plugin.details:  # --debug shows it
            log.debug("%s: %s\n%s", plugin.shown, plugin.reason, plugin.details)
    rows = _rows(found, options=options)
    if as_json:
        echo_json(rows, indent=2)
    else:
        _print(found, rows)
    check_strictly(found)


def _print(found: Plugins, rows: list[dict[str, Any]]) -> None:
    table = Table("kind", "name", "distribution", "version", "state", box=None, pad_edge=False)
    what = Table("name", "what it is", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(row[str(column.header)] for column in table.columns))
        if row["help"]:
            what.add_row(row["name"], row["help"])
    console = make_console()
    console.print(table)
    console.print()
    console.print(what)
    for plugin in found.found:
        if plugin.reason:
            advice = f" {plugin.advice}" if plugin.is_lacking else ""
            console.print(f"{plugin.shown}: {plugin.reason}{advice}", soft_wrap=True)
    for row in rows:
        for each in row.get("options", ()):
            _print_option(console, **each)


def _rows(found: Plugins, *, options: bool) -> list[dict[str, Any]]:
    """One row a name on offer, and one for each plugin that offers none."""
    rows: list[dict[str, Any]] = []
    by_distribution = {plugin.distribution: plugin for plugin in found.found}
    for registry in found.registries:
        for entry in registry:
            state = "clash" if registry.clashes(entry.name) else "loaded"
            told = f"{entry.help}; word vectors" if entry.vectors else entry.help
            row = _row(registry.kind, entry.name, by_distribution[entry.distribution], state, told)
            rows.append({**row, "options": _options(entry)} if options else row)
    absent = [each for each in found.found if each.state != "loaded" or each.is_empty]
    return [*rows, *(_row("plugin", each.name, each, each.state) for each in absent)]


def _row(kind: str, name: str, plugin: LoadedPlugin, state: str, help: str = "") -> dict[str, Any]:
    return {
        "kind": kind,
        "name": name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "state": state,
        "reason": plugin.reason,
        "help": help,
    }


def _options(entry: Registered) -> list[dict[str, str]]:
    return [
        {"option": f"{entry.name}.{name}", "environment": env, "default": default, "help": text}
        for name, env, default, text in settings_help(entry.settings)
    ]


def _print_option(console: Console, option: str, environment: str, default: str, help: str) -> None:
    """In lines of its own, since no table has room for all options."""
    needed = default if default == "required" else f"default: {default or 'none'}"
    about = ", ".join(filter(None, (environment, needed)))
    console.print()
    console.print(f"{option}  ({about})", soft_wrap=True)
    console.print(Padding(help, (0, 0, 0, 4)))
