"""``llmattn plugins``: what is installed, what it offers, and what went wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer
from rich.table import Table

from llmattn.cli.output import echo_json
from llmattn.console import make_console
from llmattn.plugins import LoadedPlugin, Plugins, load_plugins
from llmattn.registry import Registry
from llmattn.settings import settings_help

if TYPE_CHECKING:
    from rich.console import Console  # noqa: TID251  (the type alone)

__all__ = ["plugins"]


def plugins(
    as_json: bool = typer.Option(False, "--json", help="Print JSON instead of a table."),
    options: bool = typer.Option(False, "--options", help="Also list each one's options."),
    tracebacks: bool = typer.Option(False, "--tracebacks", help="Also show why plugins failed."),
) -> None:
    """List providers and caches with the distributions that they come from."""
    found = load_plugins()
    rows = _rows(found)
    if as_json:
        echo_json(rows, indent=2)
        return
    table = Table("kind", "name", "distribution", "version", "state", box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(row[column.header] for column in table.columns))  # type: ignore[index]
    console = make_console()
    console.print(table)
    what = Table("name", "what it is", box=None, pad_edge=False)
    for row in rows:
        if row["help"]:
            what.add_row(row["name"], row["help"])
    console.print()
    console.print(what)
    for plugin in found.found:
        if plugin.reason:
            console.print(f"{plugin.name} ({plugin.distribution}): {plugin.reason}")
        if tracebacks and plugin.details:
            console.print(plugin.details)
    if options:
        _print_options(console, found)


def _rows(found: Plugins) -> list[dict[str, str]]:
    """One row a name on offer; a plugin that offers none, because it is not loaded, has its own."""
    rows = []
    by_distribution = {plugin.distribution: plugin for plugin in found.found}
    for kind, registry in (("provider", found.providers), ("cache", found.caches)):
        for entry in registry:
            plugin = by_distribution[entry.distribution]
            state = _state(registry, entry.name)
            told = f"{entry.help}; word vectors" if entry.vectors else entry.help
            rows.append(_row(kind, entry.name, plugin, state, help=told))
    rows += [
        _row("plugin", plugin.name, plugin, plugin.state, reason=plugin.reason)
        for plugin in found.found
        if plugin.state != "loaded"
    ]
    return rows


def _state(registry: Registry, name: str) -> str:
    return "clash" if registry.clashes(name) else "loaded"


def _row(
    kind: str, name: str, plugin: LoadedPlugin, state: str, reason: str = "", help: str = ""
) -> dict[str, str]:
    return {
        "kind": kind,
        "name": name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "state": state,
        "reason": reason,
        "help": help,
    }


def _print_options(console: Console, found: Plugins) -> None:
    for registry in (found.providers, found.caches):
        for entry in registry:
            table = Table("option", "environment", "default", "what it is", box=None)
            for option, env, default, text in settings_help(entry.settings):
                table.add_row(f"{entry.name}.{option}", env, default, text)
            if table.row_count:
                console.print()
                console.print(table)
