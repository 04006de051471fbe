"""``--config FILE.toml`` and ``--print-config``: a command's options as a file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import typer

from llmattn.cli.output import echo
from llmattn.cli.secret_options import without_secrets
from llmattn.errors import ConfigError
from llmattn.paths import user_path
from llmattn.untrusted import from_toml

__all__ = ["arms_read", "print_config", "read_config", "read_config_and_arms"]

_NOT_IN_FILES = {"config", "print_config", "help"}


def read_config(ctx: typer.Context, path: Path | None) -> Path | None:
    """Callback of ``--config``: the file's values become the options' defaults.

    Keys are the options' long names, with ``-`` or ``_``. Raises ConfigError for a file that
    cannot be read and for a key that is no option: none is ignored.
    """
    return _read(ctx, path)


def read_config_and_arms(ctx: typer.Context, path: Path | None) -> Path | None:
    """:func:`read_config` for a file that may hold ``[arms.NAME]`` as well: :func:`arms_read`."""
    return _read(ctx, path, "arms")


def arms_read(ctx: typer.Context) -> dict[str, Any]:
    """The tables below ``[arms]`` of the configuration file; none without one."""
    tables: dict[str, Any] = ctx.meta.get("llmattn.arms", {})
    return tables


def _read(ctx: typer.Context, path: Path | None, tables: str = "") -> Path | None:
    if path is None:
        return None
    path = user_path(path)
    try:
        found = from_toml(path)
    except FileNotFoundError:
        raise ConfigError(f"There is no configuration file {path}.") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"The configuration file {path} cannot be read: {error}.") from None
    if isinstance(found.get(tables), dict):
        ctx.meta[f"llmattn.{tables}"] = found.pop(tables)
    known = {p.name: p for p in ctx.command.params if p.name and p.name not in _NOT_IN_FILES}
    values = {key.replace("-", "_"): value for key, value in found.items()}
    for key, value in values.items():
        if key not in known:
            names = ", ".join(sorted(name.replace("_", "-") for name in known))
            raise ConfigError(f"{path}: {key!r} is no option of this command; they are: {names}.")
        if not _fits(known[key], value):
            raise ConfigError(f"{path}: {key} = {str(value)[:60]!r} is no value of that option.")
    ctx.default_map = {**(ctx.default_map or {}), **values}
    return path


def _fits(option: Any, value: object) -> bool:
    """Whether ``value`` is of a kind that typer can read: it expects what a command line holds."""
    if getattr(option, "is_flag", False):
        return isinstance(value, bool)
    if option.multiple or option.nargs != 1:
        kinds = (str, int, float)
        return isinstance(value, list) and all(isinstance(each, kinds) for each in value)
    return isinstance(value, (str, int, float)) and not isinstance(value, bool)


def print_config(values: dict[str, Any]) -> None:
    """Print options as a file that ``--config`` reads; those that are not set are left out.

    So are plugins' options that hold a key or a password; stderr tells what to do instead.
    """
    if values.get("option"):
        kept = without_secrets(values["option"], values.get("provider") or ())
        values = {**values, "option": kept or None}
    for name, value in values.items():
        if name in _NOT_IN_FILES or value is None:
            continue
        plain = str(value) if isinstance(value, Path) else value
        # JSON's strings, numbers, true, false and lists are TOML's as well.
        echo(f"{name.replace('_', '-')} = {json.dumps(plain, ensure_ascii=False)}")
