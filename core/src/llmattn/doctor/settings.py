"""Plugins, files of settings, keys, and the provider that they choose."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

from llmattn.doctor.finding import Finding
from llmattn.dotenv_file import find_dotenv, read_dotenv
from llmattn.environment import Environment, origin_of
from llmattn.errors import ConfigError, LlmattnError
from llmattn.own_files import doubt_about
from llmattn.plugins import Plugins
from llmattn.registry import Registered
from llmattn.scoring.find_provider import choose_provider
from llmattn.settings import resolve_told, secret_settings, settings_help, stated
from llmattn.settings_file import project_file, settings_files, user_file
from llmattn.stored_keys import key_names, keys_file

__all__ = ["choose", "examine_files", "examine_keys", "examine_plugins", "examine_provider"]

_HERE = ("127.0.0.1", "localhost", "::1")


def examine_plugins(plugins: Plugins) -> Iterator[Finding]:
    for each in plugins.found:
        says = f"{each.distribution} {each.version}: {each.state}"
        if each.state == "loaded":
            yield Finding("plugin", "ok", says)
        elif each.state == "disabled":
            remedy = "Take it out of LLMATTN_DISABLE_PLUGINS to have it again."
            yield Finding("plugin", "note", says, remedy)
        else:
            remedy = (
                f"pip install --upgrade {each.distribution}, or pip uninstall it; "
                "llmattn plugins --tracebacks shows where it failed."
            )
            yield Finding("plugin", "problem", f"{says}: {each.reason}", remedy)
    for kind in plugins.registries:
        for name in kind.names():
            if kind.clashes(name):
                owners = ", ".join(each.distribution for each in kind if each.name == name)
                remedy = "Uninstall one of them, or name it in LLMATTN_DISABLE_PLUGINS."
                yield Finding("plugin", "problem", f"{name!r} is offered by {owners}", remedy)


def examine_files() -> Iterator[Finding]:
    """Of the files of settings, and of that of keys, those that are there."""
    for path in (find_dotenv(), project_file(), user_file(), keys_file()):
        if path is None or not path.is_file():
            continue
        if doubt := doubt_about(path):
            yield Finding("settings", "problem", f"{path} is not read", _sentence(doubt))
        else:
            yield Finding("settings", "ok", f"{path} is read")
    yield from filter(None, map(_fault_of, (settings_files, _dotenv, key_names)))


def _fault_of(read: Callable[[], object]) -> Finding | None:
    try:
        read()
    except ConfigError as error:
        remedy = "Mend or remove that file; llmattn config show tells what is set, and where."
        return Finding("settings", "problem", str(error), remedy)
    return None


def examine_keys(plugins: Plugins, environ: Mapping[str, str]) -> Iterator[Finding]:
    """Which keys there are. None that lacks is a fault, as long as its provider is not chosen."""
    for each in chain(*plugins.registries):
        secret = secret_settings(each.settings)
        for name, variable, *_ in settings_help(each.settings):
            if name not in secret:
                continue
            try:
                said = stated(each.settings, owner=each.name, options={}, environ=environ)
            except ConfigError as error:
                remedy = f"Store it anew: llmattn keys set {variable}"
                yield Finding("keys", "problem", str(error), remedy)
                continue
            where = f"from {said[name].origin}" if name in said else "not set"
            shown = f"{each.name}: {variable or name}, {where}"
            yield Finding("keys", "ok", shown)


def choose(plugins: Plugins, environ: Environment, named: str | None) -> Registered | Finding:
    """The provider that commands would ask, or why there is none."""
    try:
        return plugins.provider(named or choose_provider(plugins, environ).name)
    except LlmattnError as error:
        remedy = "Name one that `llmattn plugins` lists, or install the plugin that has it."
        return Finding("provider", "problem", str(error), remedy)


def examine_provider(
    chosen: Registered, environ: Environment, plugins: Plugins, named: str | None
) -> Iterator[Finding]:
    """Which one it is and why, and whether its settings are whole; where it asks."""
    name = chosen.name
    if named:
        why = "named with --provider"
    elif environ.get("LLM_PROVIDER"):
        why = f"from {origin_of(environ, 'LLM_PROVIDER')}"
    else:
        why = choose_provider(plugins, environ).why
    try:
        kind: type[Any] = chosen.settings
        settings, found = resolve_told(kind, owner=name, options={}, environ=environ)
        local = chosen.local
    except LlmattnError as error:
        remedy = (
            "Set what it names in the environment, a .env or your llmattn.toml; a key also by "
            "`llmattn keys set`. docs/setup.md tells more."
        )
        yield Finding("provider", "problem", f"{name} ({why}): {error}", remedy)
        return
    model = getattr(settings, "model", "")
    yield Finding("provider", "ok", f"{name} ({why})" + (f", model {model}" if model else ""))
    if local:
        yield Finding("address", "ok", f"{name} works on this machine")
        return
    own = getattr(settings, "base_url", "")
    for address, origin in found or ([(own, "the default")] if own else []):
        parts = urlsplit(address)
        if parts.scheme == "http" and parts.hostname not in _HERE:
            yield Finding(
                "address",
                "note",
                f"{address}, from {origin}",
                "Texts and key go there in the open: use https://, unless the network is yours.",
            )
        else:
            yield Finding("address", "ok", f"{address}, from {origin}")


def _dotenv() -> None:
    path = find_dotenv()
    if path is not None:
        read_dotenv(path)


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
