"""Finds plugins through entry points and keeps one that fails from harming the others."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import traceback
from importlib import metadata
from types import ModuleType
from typing import Any

import pluggy
from attrs import frozen
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from llmattn import hookspecs
from llmattn.errors import PluginError, UnknownPlugin
from llmattn.registry import CacheRegistry, ProviderRegistry, Registered, Registry
from llmattn.settings import environment

__all__ = ["ENTRY_POINT_GROUP", "LoadedPlugin", "Plugins", "forget_plugins", "load_plugins"]

ENTRY_POINT_GROUP = "llmattn"
CORE = "llmattn-core"


@frozen
class LoadedPlugin:
    """One entry point and what became of it."""

    name: str
    distribution: str
    version: str
    state: str
    """``loaded``, ``disabled``, ``incompatible`` or ``failed``."""
    reason: str = ""
    """Why it is not loaded, in one line."""
    details: str = ""
    """The traceback of a failure."""


@frozen
class Plugins:
    """Every plugin found, with the names that they offer."""

    found: tuple[LoadedPlugin, ...]
    providers: ProviderRegistry
    caches: CacheRegistry

    def provider(self, name: str) -> Registered:
        """The provider called ``name``; raises UnknownPlugin or PluginError."""
        return self._get(self.providers, name)

    def cache(self, name: str) -> Registered:
        """The cache called ``name``; raises UnknownPlugin or PluginError."""
        return self._get(self.caches, name)

    def _get(self, registry: Registry, name: str) -> Registered:
        try:
            return registry.get(name)
        except UnknownPlugin:
            for plugin in self.found:
                if plugin.state != "loaded" and plugin.name == name:
                    raise PluginError(
                        f"The plugin {name!r} ({plugin.distribution} {plugin.version}) is "
                        f"{plugin.state}: {plugin.reason} See: llmattn plugins"
                    ) from None
            raise


class _Incompatible(Exception):
    """The plugin was made for another llmattn; the message says how."""


def load_plugins() -> Plugins:
    """Load the built-in plugin and every installed one, each in its own try.

    Names in LLMATTN_DISABLE_PLUGINS (entry points or distributions, separated by commas)
    are skipped. Entry points are read once a process, and anew if ``sys.path`` or that variable
    has changed; what was installed since is found after :func:`forget_plugins`.
    """
    named = environment().get("LLMATTN_DISABLE_PLUGINS", "").split(",")
    return _load(frozenset(name.strip() for name in named), tuple(sys.path))


def forget_plugins() -> None:
    """Let :func:`load_plugins` look again."""
    importlib.invalidate_caches()
    _load.cache_clear()


@functools.cache
def _load(disabled: frozenset[str], path: tuple[str, ...]) -> Plugins:
    """The plugins below ``path``, which is ``sys.path``, without those that are disabled."""
    from llmattn import builtin

    manager = pluggy.PluginManager("llmattn")
    manager.add_hookspecs(hookspecs)
    providers, caches = ProviderRegistry(), CacheRegistry()
    _register(manager, builtin, "builtin", CORE, providers, caches)
    version = metadata.version(CORE)
    found = [LoadedPlugin("builtin", CORE, version, "loaded")]
    for entry_point in sorted(metadata.entry_points(group=ENTRY_POINT_GROUP), key=_order):
        name, dist = entry_point.name, entry_point.dist
        owner = dist.name if dist else "unknown"
        about = (name, owner, dist.version if dist else "")
        if {name, owner} & disabled:
            found.append(LoadedPlugin(*about, "disabled", "named in LLMATTN_DISABLE_PLUGINS."))
            continue
        try:
            _check_core_requirement(dist, version)
            _register(manager, entry_point.load(), name, owner, providers, caches)
        except (_Incompatible, pluggy.PluginValidationError) as error:
            found.append(LoadedPlugin(*about, "incompatible", str(error)))
        except Exception as error:  # a plugin may raise anything; the others must go on
            reason = f"{type(error).__name__}: {error}."
            found.append(LoadedPlugin(*about, "failed", reason, traceback.format_exc()))
        else:
            found.append(LoadedPlugin(*about, "loaded"))
    return Plugins(tuple(found), providers, caches)


def _order(entry_point: metadata.EntryPoint) -> tuple[str, str]:
    return entry_point.name, entry_point.value


def _check_core_requirement(dist: metadata.Distribution | None, version: str) -> None:
    """Raise _Incompatible if the plugin asks for another llmattn-core than this one."""
    for text in (dist.requires or []) if dist else []:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        is_core = canonicalize_name(requirement.name) == CORE
        if is_core and not requirement.specifier.contains(version, prereleases=True):
            raise _Incompatible(f"it needs {CORE}{requirement.specifier}, and {version} is here.")


def _register(
    manager: pluggy.PluginManager,
    plugin: ModuleType | object,
    name: str,
    distribution: str,
    providers: ProviderRegistry,
    caches: CacheRegistry,
) -> None:
    """Register one plugin's hooks and call them, all or nothing."""
    manager.register(plugin, name=f"{distribution}:{name}")
    staged = {
        "llmattn_register_providers": ProviderRegistry(),
        "llmattn_register_caches": CacheRegistry(),
    }
    try:
        _check_hooks(manager, plugin)
        others = [p for p in manager.get_plugins() if p is not plugin]
        for hook, registry in staged.items():
            registry._registering.append(distribution)
            manager.subset_hook_caller(hook, others)(registry=registry)
    except BaseException:
        manager.unregister(plugin)
        raise
    for target, source in zip((providers, caches), staged.values(), strict=True):
        for entry in source:
            target._entries.setdefault(entry.name, []).append(entry)


def _check_hooks(manager: pluggy.PluginManager, plugin: Any) -> None:
    """Refuse misspelt hooks, defaults in their signatures, and plugins without any hook."""
    callers = manager.get_hookcallers(plugin) or []
    for caller in callers:
        if not caller.has_spec():
            raise _Incompatible(f"it implements {caller.name}, which is no hook of llmattn.")
        for implementation in caller.get_hookimpls():
            if implementation.plugin is not plugin:
                continue
            for parameter in inspect.signature(implementation.function).parameters.values():
                if parameter.default is not parameter.empty:
                    raise _Incompatible(f"{caller.name} has a default for {parameter.name!r}.")
    if not callers:
        raise _Incompatible("it implements no hook of llmattn.")
