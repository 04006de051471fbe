"""Plugins' options that hold a key or a password, which are kept out of what is printed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import attrs

from llmattn.notices import warn
from llmattn.plugins import Plugins, load_plugins
from llmattn.registry import Registered
from llmattn.scoring.find_provider import choose_provider
from llmattn.scoring.options import key_values
from llmattn.secrets import redact
from llmattn.settings import environment, secret_settings, settings_help

__all__ = ["without_secrets"]


def without_secrets(options: Sequence[str], providers: Sequence[str]) -> list[str]:
    """Those of ``NAME.KEY=VALUE`` that may be shown; for each other, a line on stderr says why.

    ``providers``: whose options have no NAME; empty for the one that the environment names.
    A KEY that no owner has may be meant for any installed plugin, so it is kept out if it is secret
    in one of them. Raises ConfigError for any other form, or UnknownPlugin for a NAME that is not
    installed: what of it is secret, nobody else knows.
    """
    plugins = load_plugins()
    everybody = [each.settings for each in chain(*plugins.registries)]
    kept = []
    for text in options:
        ((name, _),) = key_values([text]).items()
        owner, _, key = name.rpartition(".")
        owners = [owner] if owner else providers or [choose_provider(plugins, environment()).name]
        settings = [_registered(plugins, each).settings for each in owners]
        having = [each for each in settings if key in attrs.fields_dict(each)] or everybody
        if redact(text) == text and not any(key in secret_settings(each) for each in having):
            kept.append(text)
            continue
        known = [env for each in settings for f, env, *_ in settings_help(each) if f == key and env]
        instead = (
            f"set {known[0]} in the environment or in a .env file" if known else "type it each time"
        )
        warn(f"-o {name} is left out, since it holds a key or a password: {instead}.")
    return kept


def _registered(plugins: Plugins, name: str) -> Registered:
    """The provider, cache or executor called ``name``; a provider is what is missed."""
    for registry in plugins.registries[1:]:
        if name in registry.names() and name not in plugins.providers.names():
            return registry.get(name)
    return plugins.provider(name)
