"""``--config FILE.toml`` and ``--print-config``: a command's options as a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import typer

from llmattn.cli.output import echo
from llmattn.cli.plugin_settings import plugin_settings
from llmattn.errors import ConfigError
from llmattn.notices import notify
from llmattn.paths import user_path
from llmattn.scoring.secret_settings import without_secrets
from llmattn.secrets import redact
from llmattn.untrusted import from_toml

__all__ = ["NOT_IN_FILES", "fits", "print_config", "reader", "tables_read"]

NOT_IN_FILES = {"config", "print_config", "help"}
"""Options that no file sets."""
_TABLES = "llmattn.tables"


def reader(tables: Collection[str]) -> Callable[[typer.Context, Path | None], Path | None]:
    """The callback of ``--config``: the file's values become the options' defaults.

    Keys are the options' long names, with ``-`` or ``_``. ``tables``: those that may be tables
    instead, which :func:`tables_read` gives. Raises ConfigError for a file that cannot be read and
    for a key that is no option: none is ignored.
    """

    def read(ctx: typer.Context, path: Path | None) -> Path | None:
        if path is None:
            return None
        path = user_path(path)
        found = {key.replace("-", "_"): value for key, value in _parsed(path).items()}
        ctx.meta[_TABLES] = {
            name: found.pop(name) for name in tables if isinstance(found.get(name), dict)
        }
        params = [p for p in ctx.command.params if not (p.name or "").endswith("_argument")]
        known = {p.name: p for p in params if p.name and p.name not in NOT_IN_FILES}
        for key, value in found.items():
            if key not in known:
                names = ", ".join(sorted(name.replace("_", "-") for name in known))
                raise ConfigError(
                    f"{path}: {key!r} is no option of this command; they are: {names}."
                )
            if not fits(known[key], value):
                raise ConfigError(
                    f"{path}: {key} = {str(value)[:60]!r} is no value of that option."
                )
        ctx.default_map = {**(ctx.default_map or {}), **found}
        return path

    return read


def fits(option: Any, value: object) -> bool:
    """Whether ``value`` is of a kind that typer can read: it expects what a command line holds."""
    if getattr(option, "is_flag", False):
        return isinstance(value, bool)
    if option.multiple or option.nargs != 1:
        kinds = (str, int, float)
        return isinstance(value, list) and all(isinstance(each, kinds) for each in value)
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def _parsed(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = from_toml(path)
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration file {path}.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"The configuration file {path} cannot be read: {error}.") from None
    return found


def tables_read(ctx: typer.Context, name: str) -> dict[str, Any]:
    """The tables below ``[NAME]`` of the configuration file; none without one."""
    tables: dict[str, Any] = ctx.meta.get(_TABLES, {}).get(name, {})
    return tables


def print_config(ctx: typer.Context) -> None:
    """Print options as a file that ``--config`` reads; those that are not set are left out.

    So are plugins' options that hold a key or a password; stderr tells what to do instead. What can
    be set of the plugins in use stands there as comments.
    """
    values: dict[str, Any] = {p.name: ctx.params.get(p.name) for p in ctx.command.params if p.name}
    providers = values.get("provider") or ()
    if values.get("option"):
        values["option"] = without_secrets(values["option"], providers) or None
    for name, value in values.items():
        if name not in NOT_IN_FILES and value is not None:
            plain = str(value) if isinstance(value, Path) else value
            echo(f"{name.replace('_', '-')} = {_toml(plain)}")
    for line in plugin_settings(ctx.params):
        echo(redact(line.replace("\n", " ")))
    for name, tables in ctx.meta.get(_TABLES, {}).items():
        if values.get(name) is not None:
            notify(
                f"[{name}.NAME] is left out: a file cannot hold it beside the {name} that were "
                "chosen."
            )
            continue
        for key, table in tables.items():
            echo(f"\n[{name}.{_toml(key)}]")
            for each, value in _without_secrets(table, providers).items():
                echo(f"{each} = {_toml(value)}")


def _without_secrets(table: Mapping[str, Any], providers: Any) -> dict[str, Any]:
    """The table of an arm without those of its options that hold a key or a password."""
    own = table.get("provider") or providers
    own = [own] if isinstance(own, str) else own
    flat = _flat(table["options"]) if isinstance(table.get("options"), Mapping) else {}
    texts = {f"{name}={value}": name for name, value in flat.items()}
    kept = {texts[text]: flat[texts[text]] for text in without_secrets(list(texts), own)}
    return {**table, **({"options": kept} if flat else {})}


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options by ``KEY`` or ``NAME.KEY``."""
    flat: dict[str, Any] = {}
    for key, value in options.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}.{name}": each for name, each in value.items()})
        else:
            flat[key] = value
    return flat


def _toml(value: Any) -> str:
    """JSON's strings, numbers, true, false and lists are TOML's as well."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(each)}" for key, each in value.items()) + "}"
    return json.dumps(value, ensure_ascii=False, default=str)
