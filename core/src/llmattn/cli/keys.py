"""``llmattn keys``: keys that plugins need, stored where no command shows them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import chain
from typing import Annotated

import typer
from attrs import frozen

from llmattn.cli.app import App
from llmattn.cli.common import Json
from llmattn.cli.output import echo, echo_columns, echo_json
from llmattn.environment import environment, origin_of
from llmattn.errors import ConfigError
from llmattn.plugins import load_plugins
from llmattn.secrets import Secret
from llmattn.settings import secret_settings, settings_help
from llmattn.stored_keys import FILE, forget_key, keep_key, key_names, keyring_here, keys_file

__all__ = ["app"]

app = App(
    help="Store keys of providers, tell which there are, and forget them. No command shows one.",
    no_args_is_help=True,
)

_MOST = 10_000
"""Characters of a key, and more."""

Name = Annotated[
    str,
    typer.Argument(metavar="NAME", help="A provider, or the variable of its key: OPENAI_API_KEY."),
]


@frozen
class _Known:
    """A variable that holds a key for a plugin."""

    owner: str
    variable: str


# What follows the name is taken so that a key among it can be refused without being shown.
@app.command("set", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def set_(
    ctx: typer.Context,
    name: Name,
    file: bool = typer.Option(False, "--file", help="Keep it in a file, not in the keyring."),
) -> None:
    """Store a key, which is asked for, or read from standard input: never an argument."""
    if ctx.args:
        raise ConfigError(
            "A key is not typed as an argument, where everybody who lists processes and whoever "
            "reads the shell's history sees it: leave it out, and it is asked for. If what was "
            "typed is a key that counts, take it as seen: make another one."
        )
    variable = _variable(name)
    place = keep_key(variable, _read(variable), file=file)
    echo(f"{variable} is stored in {place}.")
    if origin := _set_elsewhere(variable):
        echo(f"As long as {origin} is set, that goes before it.")


@app.command("list")
def list_(as_json: Json = False) -> None:
    """Tell which keys there are, and where; none is shown."""
    rows = list(_rows())
    if as_json:
        echo_json({"keyring": keyring_here(), "file": str(keys_file()), "keys": rows}, indent=2)
        return
    echo_columns([("key", "of", "where it is"), *(tuple(row.values()) for row in rows)])


@app.command()
def remove(name: Name) -> None:
    """Forget a stored key."""
    stored = key_names()
    variable = name if name in stored else _variable(name)
    forget_key(variable)
    echo(f"{variable} is forgotten.")
    if origin := _set_elsewhere(variable):
        echo(f"{origin} is still set.")


def _rows() -> Iterator[dict[str, str]]:
    stored, known = key_names(), list(_known())
    for variable in dict.fromkeys([*(each.variable for each in known), *sorted(stored)]):
        owners = ", ".join(each.owner for each in known if each.variable == variable)
        where = [_set_elsewhere(variable)] if _set_elsewhere(variable) else []
        if variable in stored:
            where.append(str(keys_file()) if stored[variable] == FILE else "the keyring")
        yield {
            "key": variable,
            "of": owners or "no plugin that is installed",
            "where": ", then ".join(where) or "not set",
        }


def _known() -> Iterator[_Known]:
    plugins = load_plugins()
    for each in chain(*plugins.registries):
        secret = secret_settings(each.settings)
        for name, variable, *_ in settings_help(each.settings):
            if name in secret and variable:
                yield _Known(each.name, variable)


def _set_elsewhere(variable: str) -> str:
    """What sets a variable before any stored key does, in words; empty if nothing does."""
    environ = environment()
    return origin_of(environ, variable) if environ.get(variable) else ""


def _variable(name: str) -> str:
    """The variable of a key that a person has named. Raises ConfigError for anything else."""
    known = list(_known())
    found = {each.variable for each in known if name in (each.owner, each.variable)}
    if len(found) == 1:
        return found.pop()
    names = ", ".join(sorted({each.variable for each in known})) or "none"
    raise ConfigError(
        f"No installed plugin has a key of that name; there are: {names} (llmattn keys list)."
    )


def _read(variable: str) -> Secret:
    if sys.stdin.isatty():
        text = typer.prompt(f"{variable} (not shown)", hide_input=True, err=True)
    else:
        text = sys.stdin.readline(_MOST)
    key = Secret(text.strip())
    if not key.reveal() or len(text) >= _MOST or not key.reveal().isprintable():
        raise ConfigError(
            f"No key was read: type it when it is asked for, or send it to standard input, as in "
            f"llmattn keys set {variable} < FILE"
        )
    return key
