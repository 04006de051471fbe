"""Opens the cache of a name with its settings from options, environment and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import attrs

from llmattn.cache.protocol import ScoreCache
from llmattn.notices import notify_once
from llmattn.plugins import Plugins, load_plugins
from llmattn.settings import addresses, environment, resolve, stated

__all__ = ["open_cache"]

_NO_OPTIONS: Mapping[str, str] = {}


def open_cache(
    name: str = "lmdb",
    *,
    cache_dir: Path | None = None,
    options: Mapping[str, str] = _NO_OPTIONS,
    plugins: Plugins | None = None,
) -> ScoreCache:
    """The cache that a plugin registered as ``name``.

    ``cache_dir``: the folder, for a cache that keeps files. ``options``: its settings by name,
    which win over the environment. Raises UnknownPlugin, PluginError, ConfigError or CacheError.
    """
    registered = (plugins or load_plugins()).cache(name)
    given = dict(options)
    fields = {field.name for field in attrs.fields(cast(Any, registered.settings))}
    if cache_dir is not None and "dir" in fields:
        given["dir"] = str(cache_dir)
    environ = environment()
    settings: Any = resolve(registered.settings, owner=name, options=given, environ=environ)
    said = stated(registered.settings, owner=name, options=given, environ=environ)
    for address, origin in addresses(settings, said):
        notify_once(f"reading and keeping scores at {address}, from {origin}")
    return cast(ScoreCache, registered.build(settings))
