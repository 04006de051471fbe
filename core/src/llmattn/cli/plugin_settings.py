"""The settings of the plugins that a command uses, as comments of a printed configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from llmattn.errors import LlmattnError
from llmattn.plugins import Plugins, load_plugins
from llmattn.registry import Registered
from llmattn.scoring.find_provider import assign_options, choose_provider, settings_of
from llmattn.scoring.options import SETTINGS, key_values
from llmattn.settings import environment, secret_settings, settings_help, stated

__all__ = ["plugin_settings"]


def plugin_settings(values: Mapping[str, Any]) -> Iterator[str]:
    """Lines on each setting of the providers and of the cache that ``values``, options of a command
    by name, stand for: what it is now, where it comes from, and what it means. Keys are left out.
    """
    if "provider" not in values or "option" not in values:
        return
    plugins, environ = load_plugins(), environment()
    try:
        providers, cache = _in_use(values, plugins, environ)
        given = {name: values[name] for name in SETTINGS if values.get(name) is not None}
        given |= key_values(values["option"] or ())
        assigned = assign_options(given, providers, [cache.name])
    except LlmattnError:  # the command itself will tell
        return
    yield '# What can be set of the plugins in use, each as option = ["NAME.KEY=VALUE"]:'
    for each in (*providers, cache):
        options = settings_of(each.name, assigned)
        if values.get("model") is not None and each is not cache:
            options["model"] = str(values["model"])
        if values.get("cache_dir") is not None and each is cache:
            options["dir"] = str(values["cache_dir"])
        said = stated(each.settings, owner=each.name, options=options, environ=environ)
        secret = secret_settings(each.settings)
        for name, env, default, about in settings_help(each.settings):
            shown = said[name].text if name in said else default
            if name in secret:
                shown = "(a key)"
            origin = said[name].origin if name in said else env
            yield f"# {each.name}.{name} = {shown}  ({origin or 'default'}: {about})"


def _in_use(
    values: Mapping[str, Any], plugins: Plugins, environ: Mapping[str, str]
) -> tuple[Sequence[Registered], Registered]:
    names = values["provider"] or [choose_provider(plugins, environ).name]
    return [plugins.provider(n) for n in names], plugins.cache(values.get("cache") or "lmdb")
