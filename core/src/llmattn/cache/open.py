"""Opens the cache of a name with its settings from options, environment and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import attrs

from llmattn.cache.protocol import ScoreCache
from llmattn.plugins import Plugins, load_plugins
from llmattn.settings import environment, resolve

__all__ = ["cache_folder", "open_cache"]

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
    settings = _settings(name, registered.settings, cache_dir, options)
    return cast(ScoreCache, registered.build(settings))


def cache_folder(
    name: str = "lmdb",
    *,
    cache_dir: Path | None = None,
    options: Mapping[str, str] = _NO_OPTIONS,
    plugins: Plugins | None = None,
) -> Path:
    """The folder of that cache: where everything lies that belongs beside it. A cache that keeps
    no files has that of the LMDB cache. Nothing is made. Raises as :func:`open_cache` does.
    """
    plugins = plugins or load_plugins()
    kind = plugins.cache(name).settings
    if not _has_folder(kind):
        name, options = "lmdb", _NO_OPTIONS
        kind = plugins.cache(name).settings
    folder: Path = _settings(name, kind, cache_dir, options).dir
    return folder


def _settings(name: str, kind: Any, cache_dir: Path | None, options: Mapping[str, str]) -> Any:
    given = dict(options)
    if cache_dir is not None and _has_folder(kind):
        given["dir"] = str(cache_dir)
    return resolve(kind, owner=name, options=given, environ=environment())


def _has_folder(kind: Any) -> bool:
    return "dir" in attrs.fields_dict(kind)
