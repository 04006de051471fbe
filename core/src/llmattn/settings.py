"""Plugin settings: frozen attrs classes filled from options, environment, ``.env`` and defaults."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

import attrs

from llmattn.environment import (
    Environment,
    Stated,
    environment,
    origin_of,
    said_by,
    stored_key_of,
)
from llmattn.errors import ConfigError, LlmattnError, MissingSetting, PluginError
from llmattn.paths import user_path
from llmattn.secrets import Secret, redact, strip_credentials

__all__ = [
    "Environment",
    "Stated",
    "addresses",
    "environment",
    "identity_details",
    "is_on",
    "origin_of",
    "resolve",
    "resolve_told",
    "secret_settings",
    "setting",
    "settings_help",
    "stated",
]

T = TypeVar("T")

_NO_KEY = "no-key-since-nothing-is-sent"
_TRUE = {"1", "true", "yes", "on"}
_FALSE = {"0", "false", "no", "off"}


def is_on(environ: Mapping[str, str], name: str) -> bool:
    """Whether a variable says yes: 1, true, yes or on. Raises ConfigError unless it is unset, or
    says yes or no.
    """
    text = environ.get(name, "0").strip().lower()
    if text not in _TRUE | _FALSE:
        raise ConfigError(f"{origin_of(environ, name)} takes 1 or 0, not {text!r}.")
    return text in _TRUE


def setting(
    default: Any = attrs.NOTHING,
    *,
    help: str,
    env: str | None = None,
    harmless: bool = False,
    instead_of: str | None = None,
    validator: Any = None,
) -> Any:
    """A field of a plugin's settings class.

    ``env``: the environment variable that fills it. ``harmless``: it cannot change a score,
    so it stays out of the identity (keys, timeouts, numbers of requests at once).
    ``instead_of``: the setting in whose place it stands in the identity, if it is not empty.
    Without ``default`` it is required. A field of type ``Secret`` never prints. Raises TypeError
    for a ``help`` or an ``env`` that is no text.
    """
    if not (isinstance(help, str) and isinstance(env, (str, type(None)))):
        raise TypeError("setting(): help and env must be texts")
    return attrs.field(
        default=default,
        validator=validator,
        repr=lambda value: redact(repr(value)),
        metadata={"help": help, "env": env, "harmless": harmless, "instead_of": instead_of},
    )


def stated(
    cls: type, *, owner: str, options: Mapping[str, str], environ: Mapping[str, str]
) -> dict[str, Stated]:
    """What the user says of the settings class ``cls``, by the settings' names; the others have
    their defaults. Options win over ``environ``.
    """
    found: dict[str, Stated] = {}
    for f in attrs.fields(attrs.resolve_types(cast(Any, cls))):
        env, secret = f.metadata.get("env"), Secret in _kinds(f.type)
        if f.name in options:
            found[f.name] = Stated(options[f.name].strip(), f"option {f.name}")
        elif said := said_by(environ, owner, f.name, env or ""):
            if said.origin != env and "${" in said.text:
                raise ConfigError(
                    f"{owner}: {said.origin} holds ${{...}}, and nothing in a file is expanded: "
                    "write the value itself there, or set the variable in the environment."
                )
            if secret and env and said.origin not in (env, origin_of(environ, env)):
                raise ConfigError(
                    f"{said.origin} is a key, which does not belong there: take it out, and store "
                    f"it with: llmattn keys set {env}"
                )
            found[f.name] = said
        elif secret and env and (kept := stored_key_of(environ, env)):
            found[f.name] = Stated(*kept)
    return found


def resolve(
    cls: type[T],
    *,
    owner: str,
    options: Mapping[str, str],
    environ: Mapping[str, str],
    sends: bool = True,
) -> T:
    """An instance of the settings class ``cls``: options win over ``environ``, that over defaults.

    ``owner`` names the plugin in messages. ``sends``: False where nothing will be sent, so that a
    key which nobody has set may be missing. Raises MissingSetting or ConfigError.
    """
    fields = {f.name: f for f in attrs.fields(attrs.resolve_types(cast(Any, cls)))}
    known = ", ".join(fields) or "none"
    if unknown := sorted(set(options) - set(fields)):
        raise ConfigError(f"{owner} has no option {unknown[0]!r}; its options are: {known}.")
    for file in environ.files if isinstance(environ, Environment) else ():
        if unknown := sorted(set(file.settings.get(owner, {})) - set(fields)):
            raise ConfigError(
                f"{file.path}: {owner} has no setting {unknown[0]!r}; its settings are: {known}."
            )
    said = stated(cls, owner=owner, options=options, environ=environ)
    for name, f in fields.items():
        if name not in said and f.default is attrs.NOTHING:
            if not sends and Secret in _kinds(f.type):
                said[name] = Stated(_NO_KEY, "nowhere")
                continue
            env = f.metadata.get("env")
            how = f"set {env} in the environment or in a .env file" if env else ""
            if env and Secret in _kinds(f.type):
                how += f", store it (llmattn keys set {env})"
            how = f"{how}, or pass" if how else "pass"
            raise MissingSetting(
                f"{owner} needs its {name.replace('_', ' ')} ({f.metadata['help']}): "
                f"{how} the option -o {owner}.{name}=..."
            )
    values = {name: _convert(fields[name].type, one, owner) for name, one in said.items()}
    try:
        return cls(**values)
    except LlmattnError:
        raise
    except (TypeError, ValueError) as error:
        words = error.args[0] if error.args else error
        raise ConfigError(f"{owner}: {words}{_blame(fields, values, said)}") from None
    except Exception as error:  # a validator or a default of a plugin may raise anything
        raise PluginError(
            f"{owner}: its settings cannot be made: {type(error).__name__}: {error}. That is a "
            "fault of its plugin; --debug shows where."
        ) from error


def _blame(fields: Mapping[str, Any], values: Mapping[str, Any], said: Mapping[str, Stated]) -> str:
    """Where the value comes from that a settings class refuses; options are before one's eyes."""
    for name, one in said.items():
        if one.origin.startswith("option ") or fields[name].validator is None:
            continue
        try:
            fields[name].validator(None, fields[name], values[name])
        except Exception:  # a validator may need the instance, which there is not
            return f" (from {one.origin})"
    return ""


def resolve_told(
    cls: type[T],
    *,
    owner: str,
    options: Mapping[str, str],
    environ: Mapping[str, str],
    sends: bool = True,
) -> tuple[T, tuple[tuple[str, str], ...]]:
    """What :func:`resolve` gives, with the addresses in it that the user is to be told: those that
    are not the defaults of the class, each with where it comes from.
    """
    settings = resolve(cls, owner=owner, options=options, environ=environ, sends=sends)
    said = stated(cls, owner=owner, options=options, environ=environ)
    return settings, tuple(addresses(settings, said))


def addresses(settings: object, said: Mapping[str, Stated]) -> list[tuple[str, str]]:
    """The addresses in ``settings`` that are not the defaults of their class: each without its
    credentials, and where it comes from.
    """
    found = []
    for f in attrs.fields(cast(Any, type(settings))):
        value = getattr(settings, f.name)
        if f.metadata.get("instead_of"):  # a name, be it an address that was: nobody goes there
            continue
        if isinstance(value, str) and "://" in value and value != f.default and f.name in said:
            with suppress(ValueError):  # no address after all, as its owner will tell
                found.append((redact(strip_credentials(value)), said[f.name].origin))
    return found


_MOST_NUMBER = 2**63
"""What files keep: an identity with a larger number could not be read again."""


def _convert(kind: Any, said: Stated, owner: str) -> Any:
    """What was said as the type of a settings field."""
    convert: Callable[[str], Any] = _kinds(kind)[0]
    text = said.text
    try:
        if convert is bool:
            if text.lower() in _TRUE | _FALSE:
                return text.lower() in _TRUE
            raise ValueError
        if convert is Path:
            path = user_path(text)
            return said.folder / path if said.folder else path
        value = convert(text)
        if isinstance(value, (int, float)) and not abs(value) < _MOST_NUMBER:
            raise ValueError  # nan and inf too: identities hold plain numbers
        return value
    except ValueError:
        shown = "its value" if convert is Secret else repr(text)
        name = getattr(convert, "__name__", str(convert))
        raise ConfigError(
            f"{owner}: {said.origin} takes a value of type {name}, not {shown}."
        ) from None


def _kinds(kind: Any) -> list[Any]:
    """The types that a field may hold, without None."""
    return [k for k in getattr(kind, "__args__", (kind,)) if k is not type(None)]


def identity_details(settings: object) -> dict[str, Any]:
    """The settings that can change a score, for an Identity; URLs lose their credentials."""
    details: dict[str, Any] = {}
    names: dict[str, Any] = {}
    for f in attrs.fields(cast(Any, type(settings))):
        value = getattr(settings, f.name)
        if f.metadata.get("harmless") or isinstance(value, Secret):
            continue
        if isinstance(value, str) and "://" in value:
            value = strip_credentials(value)
        other = f.metadata.get("instead_of")
        if not other:
            details[f.name] = value
        elif value:
            names[other] = value
    return {**details, **names}


def secret_settings(cls: type) -> set[str]:
    """The fields of a settings class that hold a ``Secret``."""
    fields = attrs.fields(attrs.resolve_types(cast(Any, cls)))
    return {f.name for f in fields if Secret in _kinds(f.type)}


def settings_help(cls: type) -> list[tuple[str, str, str, str]]:
    """``(option, environment variable, default, help)`` of each field, for listings."""
    return [
        (f.name, f.metadata.get("env") or "", _default(f.default), f.metadata["help"])
        for f in attrs.fields(cast(Any, cls))
    ]


def _default(default: Any) -> str:
    make = getattr(default, "factory", None)  # of a default that is made, not fixed
    try:
        default = make() if make else default
        return "required" if default is attrs.NOTHING else str(default)
    except Exception:  # a plugin's, which may need what is not there
        return "(made when it is needed)"
