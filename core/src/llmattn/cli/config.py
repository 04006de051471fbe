"""``llmattn config``: each setting's value, and where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Optional

import attrs
import typer

from llmattn.cli.app import App
from llmattn.cli.common import Json
from llmattn.cli.defaults import defaults_of
from llmattn.cli.output import echo, echo_columns, echo_json
from llmattn.dotenv_file import find_dotenv
from llmattn.environment import Environment, environment, origin_of
from llmattn.errors import ConfigError
from llmattn.own_files import doubt_about
from llmattn.plugins import load_plugins
from llmattn.registry import Registered
from llmattn.scoring.find_provider import (
    assign_options,
    choose_provider,
    settings_of,
    with_model,
)
from llmattn.scoring.options import key_values
from llmattn.secrets import redact, strip_credentials
from llmattn.settings import secret_settings, settings_help, stated
from llmattn.settings_file import VARIABLES, project_file, settings_files, user_file

__all__ = ["app"]

app = App(help="Tell what is set, and where.", no_args_is_help=True)

_DEFAULT = "the default"


@app.callback()
def _root() -> None:
    """So that `show` is a word of its own."""


@app.command()
def show(
    ctx: typer.Context,
    command: Annotated[
        Optional[str],  # noqa: UP045  (typer reads it at run time)
        typer.Argument(metavar="[COMMAND]", help="Tell the options of this command, too."),
    ] = None,
    provider: Optional[list[str]] = typer.Option(  # noqa: UP045
        None, "--provider", "-p", help="Whose settings; default: those of the one that is chosen."
    ),
    option: Optional[list[str]] = typer.Option(  # noqa: UP045
        None,
        "--option",
        "-o",
        metavar="NAME.KEY=VALUE",
        help="As in other commands.",
    ),
    model: Optional[str] = typer.Option(None, "--model", help="As in other commands, too."),  # noqa: UP045
    cache: str = typer.Option("lmdb", "--cache", help="Whose settings, of the caches."),
    as_json: Json = False,
) -> None:
    """Tell each setting's value and where it comes from; keys are not shown."""
    environ, plugins = environment(), load_plugins()
    chosen = choose_provider(plugins, environ)
    names = provider or [chosen.name]
    providers = [plugins.provider(name) for name in names]
    assigned = assign_options(key_values(option or ()), providers, [cache])
    rows = list(_general(environ))
    if not rows[0]["value"]:
        rows[0] = _row("provider", chosen.name, f"chosen: {chosen.why}")
    for each in (*providers, plugins.cache(cache)):
        options = settings_of(each.name, assigned)
        if each in providers:
            options = with_model(each, options, model)
        rows += _of_plugin(each, options, environ)
    if command:
        rows += _of_command(command, ctx)
    if as_json:
        files = [{"file": str(path), "state": state} for path, state in _files()]
        echo_json({"files": files, "settings": rows}, indent=2)
        return
    for path, state in _files():
        echo(f"{path}: {state}")
    echo()
    echo_columns([("setting", "value", "from"), *(tuple(row.values()) for row in rows)])


def _files() -> Iterator[tuple[Path, str]]:
    """The files of settings, the nearest first, and what becomes of each."""
    for path in (find_dotenv(), project_file(), user_file()):
        if path is not None:
            there = path.is_file()
            doubt = doubt_about(path) if there else ""
            state = f"not read: {doubt}" if doubt else "read" if there else "not there"
            if there and not doubt and path == project_file():
                trusted = any(file.trusted for file in settings_files() if file.path == path)
                state += ", a project's" if not trusted else ", trusted by your own file"
            yield path, state


def _general(environ: Environment) -> Iterator[dict[str, str]]:
    """The settings that stand at the top of a file, and have a variable."""
    for name, variable in VARIABLES.items():
        value = environ.get(variable, "")
        yield _row(name, value, origin_of(environ, variable) if value else _DEFAULT)


def _of_plugin(
    registered: Registered, options: dict[str, str], environ: Environment
) -> Iterator[dict[str, str]]:
    cls: Any = registered.settings
    said = stated(cls, owner=registered.name, options=options, environ=environ)
    unknown = set(options) - set(attrs.fields_dict(cls))
    if unknown:
        raise ConfigError(f"{registered.name} has no option {min(unknown)!r}.")
    secret = secret_settings(cls)
    for name, _, default, _ in settings_help(cls):
        value, origin = default, _DEFAULT
        if name in said:
            value, origin = said[name].text, said[name].origin
        elif default == "required":
            value, origin = "", "not set, and required"
        if name in secret:
            value = "(a key, not shown)" if name in said else ""
        yield _row(f"{registered.name}.{name}", value, origin)


def _of_command(name: str, ctx: typer.Context) -> Iterator[dict[str, str]]:
    root: Any = ctx.find_root().command
    command = root.commands.get(name)
    if command is None or hasattr(command, "commands"):
        raise ConfigError(f"There is no command {name!r} with options; see: llmattn --help")
    said = {each.name: (value, file) for each, value, file in defaults_of(name, command)}
    for each in command.params:
        if each.param_type_name == "option" and each.name not in ("help", *VARIABLES):
            value, file = said.get(each.name, (each.default, None))
            shown = "" if value is None else str(value)
            origin = file.where(f"[{name}] {each.name}") if file else _DEFAULT
            yield _row(f"{name} --{each.name.replace('_', '-')}", shown, origin)


def _row(setting: str, value: str, origin: str) -> dict[str, str]:
    if "://" in value:
        try:
            value = strip_credentials(value)
        except ValueError:
            value = "(no address)"
    return {"setting": setting, "value": redact(value), "from": origin}
