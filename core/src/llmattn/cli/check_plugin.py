"""``llmattn check-plugin``: the test kit on an installed provider or cache."""

from __future__ import annotations

import textwrap
from typing import Annotated

import typer

from llmattn.cli.output import echo
from llmattn.errors import ConfigError, PluginError, UnknownPlugin
from llmattn.plugins import load_plugins
from llmattn.registry import Registered

__all__ = ["check_plugin"]

_WIDTH = 80


def check_plugin(
    name: Annotated[str, typer.Argument(help="What --provider or --cache calls it.")],
    option: Annotated[
        list[str],
        typer.Option(
            "--option", "-o", help="A setting of it: SETTING=VALUE or NAME.SETTING=VALUE."
        ),
    ] = [],  # noqa: B006  (typer reads it)
    seed: Annotated[int, typer.Option(help="Of the random rows and calls.")] = 0,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask it though it may cost.")] = False,
) -> None:
    """Run the test kit for plugins on an installed provider or cache.

    Neither your keys nor your environment are used: a provider with a setting base_url asks a
    server that the kit starts on this machine. Exits with 1 if something is wrong.
    """
    registered, is_cache = _find(name)
    given = dict(_option(text, name) for text in option)
    try:
        from llmattn.testing.installed import check_installed_cache, check_installed_provider
    except ImportError as error:
        raise PluginError(
            f"The test kit needs {error.name}: pip install 'llmattn-core[testing]'"
        ) from error
    echo(f"{'cache' if is_cache else 'provider'} {name} of {registered.distribution}, seed {seed}")
    if is_cache:
        found = check_installed_cache(registered, given, seed=seed)
    else:
        found = check_installed_provider(registered, given, may_cost=yes, seed=seed)
    failed = 0
    for result in found:
        failed += result.outcome == "failed"
        echo(f"{result.outcome:12} {result.name}")
        if result.reason:
            indent = " " * 4
            echo(
                textwrap.fill(
                    result.reason, _WIDTH, initial_indent=indent, subsequent_indent=indent
                )
            )
    echo("It is not sound." if failed else "Nothing was found.")
    if failed:
        raise typer.Exit(1)


def _find(name: str) -> tuple[Registered, bool]:
    plugins = load_plugins()
    try:
        return plugins.provider(name), False
    except UnknownPlugin as unknown:
        try:
            return plugins.cache(name), True
        except UnknownPlugin:
            raise unknown from None


def _option(text: str, name: str) -> tuple[str, str]:
    setting, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"-o takes SETTING=VALUE, not {text!r}.")
    return setting.strip().removeprefix(f"{name}."), value
