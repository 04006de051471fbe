"""Plugin settings: frozen attrs classes filled from options, environment, ``.env`` and defaults."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs
from dotenv import dotenv_values, find_dotenv

from llmattn.errors import ConfigError, MissingSetting
from llmattn.paths import user_path
from llmattn.secrets import Secret, redact, strip_credentials

__all__ = [
    "environment",
    "identity_details",
    "resolve",
    "secret_settings",
    "setting",
    "settings_help",
]

T = TypeVar("T")

_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


def environment() -> dict[str, str]:
    """The process's environment over the nearest ``.env`` (searched from the working directory
    upward), without empty values. ``os.environ`` is left as it is.
    """
    path = find_dotenv(usecwd=True)
    try:
        from_file = dotenv_values(path) if path else {}
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read ({error}); mend or remove it.") from None
    merged = {**{k: v for k, v in from_file.items() if v}, **os.environ}
    return {name: value for name, value in merged.items() if value.strip()}


def setting(
    default: Any = attrs.NOTHING,
    *,
    help: str,
    env: str | None = None,
    harmless: bool = False,
    validator: Any = None,
) -> Any:
    """A field of a plugin's settings class.

    ``env``: the environment variable that fills it. ``harmless``: it cannot change a score,
    so it stays out of the identity (keys, timeouts, numbers of requests at once).
    Without ``default`` it is required. A field of type ``Secret`` never prints.
    """
    return attrs.field(
        default=default,
        validator=validator,
        repr=lambda value: redact(repr(value)),
        metadata={"help": help, "env": env, "harmless": harmless},
    )


def resolve(
    cls: type[T], *, owner: str, options: Mapping[str, str], environ: Mapping[str, str]
) -> T:
    """An instance of the settings class ``cls``: options win over ``environ``, that over defaults.

    ``owner`` names the plugin in messages. Raises MissingSetting or ConfigError.
    """
    fields = {f.name: f for f in attrs.fields(attrs.resolve_types(cast(Any, cls)))}
    unknown = sorted(set(options) - set(fields))
    if unknown:
        known = ", ".join(fields) or "none"
        raise ConfigError(f"{owner} has no option {unknown[0]!r}; its options are: {known}.")
    values: dict[str, Any] = {}
    for name, f in fields.items():
        env = f.metadata.get("env")
        if name in options:
            text, source = options[name], f"option {name}"
        elif env and environ.get(env):
            text, source = environ[env], env
        elif f.default is attrs.NOTHING:
            how = f"set {env} in the environment or in a .env file" if env else ""
            how = f"{how}, or pass" if how else "pass"
            raise MissingSetting(
                f"{owner} needs its {name.replace('_', ' ')} ({f.metadata['help']}): "
                f"{how} the option -o {owner}.{name}=..."
            )
        else:
            continue
        values[name] = _convert(f.type, text.strip(), owner, source)
    try:
        return cls(**values)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{owner}: {error.args[0] if error.args else error}") from None


def _convert(kind: Any, text: str, owner: str, source: str) -> Any:
    """``text`` as the type of a settings field."""
    convert: Callable[[str], Any] = _kinds(kind)[0]
    try:
        if convert is bool:
            if text.lower() in _TRUE | _FALSE:
                return text.lower() in _TRUE
            raise ValueError
        return user_path(text) if convert is Path else convert(text)
    except ValueError:
        shown = "its value" if convert is Secret else repr(text)
        name = getattr(convert, "__name__", str(convert))
        raise ConfigError(f"{owner}: {source} takes a value of type {name}, not {shown}.") from None


def _kinds(kind: Any) -> list[Any]:
    """The types that a field may hold, without None."""
    return [k for k in getattr(kind, "__args__", (kind,)) if k is not type(None)]


def identity_details(settings: object) -> dict[str, Any]:
    """The settings that can change a score, for an Identity; URLs lose their credentials."""
    details: dict[str, Any] = {}
    for f in attrs.fields(cast(Any, type(settings))):
        value = getattr(settings, f.name)
        if f.metadata.get("harmless") or isinstance(value, Secret):
            continue
        if isinstance(value, str) and "://" in value:
            value = strip_credentials(value)
        details[f.name] = value
    return details


def secret_settings(cls: type) -> set[str]:
    """The fields of a settings class that hold a ``Secret``."""
    fields = attrs.fields(attrs.resolve_types(cast(Any, cls)))
    return {f.name for f in fields if Secret in _kinds(f.type)}


def settings_help(cls: type) -> list[tuple[str, str, str, str]]:
    """``(option, environment variable, default, help)`` of each field, for listings."""
    listed = []
    for f in attrs.fields(cast(Any, cls)):
        make = getattr(f.default, "factory", None)  # of a default that is made, not fixed
        default = make() if make else f.default
        default = "required" if default is attrs.NOTHING else str(default)
        listed.append((f.name, f.metadata.get("env") or "", default, f.metadata["help"]))
    return listed
