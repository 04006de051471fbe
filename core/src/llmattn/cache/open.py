"""Finds a cache by name, with its settings from options, environment and defaults."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import attrs

from llmattn.cache.memory import MemoryCache
from llmattn.cache.protocol import FileCache, ScoreCache, VerifyReport
from llmattn.cache.settings import MemorySettings
from llmattn.errors import CacheError
from llmattn.notices import notify_once
from llmattn.plugins import Plugins, load_plugins
from llmattn.registry import Registered
from llmattn.settings import environment, resolve, resolve_told

__all__ = ["cache_folder", "compact_cache", "locate_cache", "open_cache", "verify_cache"]

_NO_OPTIONS: Mapping[str, str] = {}


def open_cache(
    name: str = "lmdb",
    *,
    cache_dir: Path | None = None,
    options: Mapping[str, str] = _NO_OPTIONS,
    plugins: Plugins | None = None,
    create: bool = True,
) -> ScoreCache:
    """The cache that a plugin registered as ``name``.

    ``cache_dir``: the folder, for a cache that keeps files. ``options``: its settings by name,
    which win over the environment. ``create``: False for who only reads: of a file that is not
    there the cache is then an empty one in memory, and nothing is made. Raises UnknownPlugin,
    PluginError, ConfigError or CacheError.
    """
    registered = (plugins or load_plugins()).cache(name)
    given, environ = _given(registered, cache_dir, options), environment()
    kind: type[Any] = registered.settings
    settings, told = resolve_told(kind, owner=name, options=given, environ=environ)
    for address, origin in told:
        notify_once(f"reading and keeping scores at {address}, from {origin}")
    if not create:
        factory = registered.load()
        if isinstance(factory, FileCache) and not factory.locate(settings).exists():
            return MemoryCache(MemorySettings())
    return cast(ScoreCache, registered.build(settings))


def locate_cache(
    name: str = "lmdb",
    *,
    cache_dir: Path | None = None,
    options: Mapping[str, str] = _NO_OPTIONS,
) -> Path:
    """Where :func:`open_cache` would find the file, which need not be there.

    Raises what that raises; CacheError for a cache that is no file.
    """
    registered, factory = _file_cache(name, "path")
    return factory.locate(_settings(registered, cache_dir, options))


def cache_folder(cache: ScoreCache, *, cache_dir: Path | None = None) -> Path:
    """Where everything lies that belongs beside ``cache``: the folder of its file; for a cache
    that is none, that of the LMDB cache, which ``cache_dir`` may name.
    """
    if isinstance(cache, FileCache):
        return cache.path.parent
    return locate_cache(cache_dir=cache_dir).parent


def verify_cache(
    name: str = "lmdb", *, cache_dir: Path | None = None, drop: bool = False
) -> VerifyReport:
    """Look at every record of a cache that is a file, without opening it; see ``FileCache``."""
    registered, factory = _file_cache(name, "verify")
    return factory.verify(_settings(registered, cache_dir, _NO_OPTIONS), drop=drop)


def compact_cache(name: str = "lmdb", *, cache_dir: Path | None = None) -> tuple[int, int]:
    """Pack the file of a cache anew; its size in bytes before and after."""
    _file_cache(name, "compact")
    cache = open_cache(name, cache_dir=cache_dir)
    try:
        return cast(FileCache, cache).compact()
    finally:
        cache.close()


def _file_cache(name: str, command: str) -> tuple[Registered, FileCache]:
    registered = load_plugins().cache(name)
    factory = registered.load()
    if not isinstance(factory, FileCache):
        raise CacheError(
            f"The cache {name!r} is no file of this machine; `llmattn cache {command}` is for "
            "those that are, such as --cache lmdb."
        )
    return registered, factory


def _settings(registered: Registered, cache_dir: Path | None, options: Mapping[str, str]) -> Any:
    given = _given(registered, cache_dir, options)
    return resolve(registered.settings, owner=registered.name, options=given, environ=environment())


def _given(
    registered: Registered, cache_dir: Path | None, options: Mapping[str, str]
) -> dict[str, str]:
    """``options`` with the folder, for a cache that has one."""
    given = dict(options)
    fields = {field.name for field in attrs.fields(cast(Any, registered.settings))}
    if cache_dir is not None and "dir" in fields:
        given["dir"] = str(cache_dir)
    return given
