"""Finds plugins through entry points and keeps one that fails from harming the others."""

from __future__ import annotations

import functools
import importlib
import inspect
import math
import sys
import traceback
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import pluggy
from attrs import evolve, field, frozen
from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from llmattn import hookspecs
from llmattn.entry_points import ENTRY_POINT_GROUP, Found, find_entry_points
from llmattn.errors import ConfigError, IncompatiblePlugin, PluginError, UnknownPlugin
from llmattn.isolation import TookTooLong, one_line, run_apart
from llmattn.notices import warn, warn_once
from llmattn.registry import (
    CORE,
    CacheRegistry,
    ExecutorRegistry,
    ProviderRegistry,
    Registered,
    Registry,
)
from llmattn.settings import environment, is_on

__all__ = [
    "ENTRY_POINT_GROUP",
    "LoadedPlugin",
    "Plugins",
    "check_strictly",
    "forget_plugins",
    "load_plugins",
    "look_at_plugins",
]

_DISABLE = "LLMATTN_DISABLE_PLUGINS"
_STRICT = "LLMATTN_STRICT_PLUGINS"
_TIMEOUT = "LLMATTN_PLUGIN_TIMEOUT"
_LONGEST = 20.0
"""Seconds that one plugin may take to load."""
_TOLD_AFTER = 2.0
"""Seconds after which the user is told whom the command waits for."""

Registries = tuple[ProviderRegistry, CacheRegistry, ExecutorRegistry]


@frozen
class LoadedPlugin:
    """One entry point and what became of it."""

    name: str
    distribution: str
    version: str
    state: str
    """``loaded``, ``disabled``, ``incompatible`` or ``failed``."""
    reason: str = ""
    """Why it is not loaded, or what is wrong with it all the same, in one line."""
    details: str = ""
    """The traceback of a failure."""
    is_empty: bool = False
    """Whether it is loaded, and offers nothing."""

    @property
    def is_lacking(self) -> bool:
        """Whether it should be there, and is not."""
        return self.state in ("incompatible", "failed")

    @property
    def shown(self) -> str:
        """The name with the distribution that it comes from."""
        return f"{self.name!r} ({self.distribution} {self.version}".rstrip() + ")"

    @property
    def advice(self) -> str:
        """What a user can do about one that is lacking."""
        again = f"upgrade {self.distribution}, or leave it out with {_DISABLE}={self.name}"
        return f"To go on: {again}. `llmattn plugins --debug` shows where it failed."


@frozen
class Plugins:
    """Every plugin found, with the names that they offer."""

    found: tuple[LoadedPlugin, ...]
    providers: ProviderRegistry
    caches: CacheRegistry
    executors: ExecutorRegistry = field(factory=ExecutorRegistry)

    @property
    def registries(self) -> Registries:
        """All names on offer, by their kinds."""
        return self.providers, self.caches, self.executors

    @property
    def lacking(self) -> list[LoadedPlugin]:
        """Those that did not load, though nobody disabled them."""
        return [plugin for plugin in self.found if plugin.is_lacking]

    def provider(self, name: str) -> Registered:
        """The provider called ``name``; raises UnknownPlugin or PluginError."""
        return self._get(self.providers, name)

    def cache(self, name: str) -> Registered:
        """The cache called ``name``; raises UnknownPlugin or PluginError."""
        return self._get(self.caches, name)

    def executor(self, name: str) -> Registered:
        """The executor called ``name``; raises UnknownPlugin or PluginError."""
        return self._get(self.executors, name)

    def _get(self, registry: Registry, name: str) -> Registered:
        try:
            return registry.get(name)
        except UnknownPlugin as unknown:
            absent = [plugin for plugin in self.found if plugin.state != "loaded"]
            for plugin in absent:
                if canonicalize_name(name) in _spellings(plugin):
                    advice = f" {plugin.advice}" if plugin.is_lacking else ""
                    raise PluginError(
                        f"The plugin {plugin.shown} is {plugin.state}: {plugin.reason}{advice}"
                    ) from None
            if not self.lacking:
                raise
            told = " ".join(f"{each.shown}: {each.reason}" for each in self.lacking)
            raise UnknownPlugin(f"{unknown} Of these some did not load. {told}") from None


def _spellings(plugin: LoadedPlugin) -> set[str]:
    """The names by which somebody may ask for a plugin that is not loaded."""
    distribution = canonicalize_name(plugin.distribution)
    short = distribution.removeprefix("llmattn-").removeprefix("plugin-")
    return {canonicalize_name(plugin.name), distribution, short}


def load_plugins() -> Plugins:
    """Load the built-in plugin and every installed one, each apart from the others.

    Names in LLMATTN_DISABLE_PLUGINS (entry points or distributions in any spelling, separated by
    commas) are skipped; those that nothing has are told. A plugin that takes longer than
    LLMATTN_PLUGIN_TIMEOUT seconds counts as failed. Entry points are read once a process, and anew
    if ``sys.path`` or one of those variables has changed; what was installed since is found after
    :func:`forget_plugins`.

    Raises PluginError with LLMATTN_STRICT_PLUGINS=1 for a plugin that did not load.
    """
    environ = environment()
    plugins = look_at_plugins(environ)
    check_strictly(plugins, environ)
    return plugins


def look_at_plugins(environ: Mapping[str, str] | None = None) -> Plugins:
    """As :func:`load_plugins`, but whatever did not load is no error."""
    environ = environment() if environ is None else environ
    named = [name.strip() for name in environ.get(_DISABLE, "").split(",")]
    disabled: dict[str, str] = {canonicalize_name(name): name for name in named if name}
    plugins = _load(frozenset(disabled), tuple(sys.path), _limit(environ))
    _tell_unknown(plugins, disabled)
    return plugins


def check_strictly(plugins: Plugins, environ: Mapping[str, str] | None = None) -> None:
    """Raise PluginError if LLMATTN_STRICT_PLUGINS is set and a plugin did not load."""
    if plugins.lacking and is_on(environment() if environ is None else environ, _STRICT):
        told = " ".join(f"{each.shown} is {each.state}: {each.reason}" for each in plugins.lacking)
        raise PluginError(
            f"{told} {_STRICT} makes that an error; {_DISABLE} leaves plugins out, and "
            "`llmattn plugins --debug` shows where one failed."
        )


def forget_plugins() -> None:
    """Let :func:`load_plugins` look again."""
    importlib.invalidate_caches()
    _load.cache_clear()


def _limit(environ: Mapping[str, str]) -> float:
    text = environ.get(_TIMEOUT, "")
    try:
        limit = float(text or _LONGEST)
    except ValueError:
        limit = math.nan
    if not 0 < limit < math.inf:
        raise ConfigError(f"{_TIMEOUT} takes a number of seconds above 0, not {text!r}.")
    return limit


def _tell_unknown(plugins: Plugins, disabled: Mapping[str, str]) -> None:
    others = [plugin for plugin in plugins.found if plugin.distribution != CORE]
    known = {canonicalize_name(n) for p in others for n in (p.name, p.distribution)}
    for spelling, name in disabled.items():
        if spelling not in known:
            there = ", ".join(plugin.name for plugin in others) or "none"
            warn_once(f"{_DISABLE} names {name!r}, and no plugin is called so; there are: {there}.")


@functools.cache
def _load(disabled: frozenset[str], path: tuple[str, ...], limit: float) -> Plugins:
    """The plugins below ``path``, which is ``sys.path``, without those that are disabled."""
    from llmattn import builtin

    version = metadata.version(CORE)
    ours = _register(builtin, CORE)
    core = tuple(frozenset(registry.names()) for registry in ours)
    found = [LoadedPlugin("builtin", CORE, version, "loaded")]
    for each in find_entry_points():
        if each.is_called(disabled):
            plugin, offered = _about(each, "disabled", f"named in {_DISABLE}."), None
        else:
            plugin, offered = _load_one(each, version, core, limit)
        found.append(plugin)
        for target, source in zip(ours, offered or (), strict=False):
            for entry in source:
                target._entries.setdefault(entry.name, []).append(entry)
    return Plugins(tuple(found), *ours)


def _about(found: Found, state: str, reason: str = "", details: str = "") -> LoadedPlugin:
    return LoadedPlugin(found.name, found.distribution, found.version, state, reason, details)


def _load_one(
    found: Found, version: str, core: tuple[frozenset[str], ...], limit: float
) -> tuple[LoadedPlugin, Registries | None]:
    """Load one plugin apart from everything else, all or nothing."""
    point = found.entry_point
    if point is None:
        return _about(found, "failed", found.reason), None

    def work() -> Registries:
        _check_core_requirement(found.dist, version)
        offered = _register(point.load(), found.distribution)
        for names, registry in zip(core, offered, strict=True):
            for taken in names.intersection(registry.names()):
                raise _Refused(
                    f"it registers the {registry.kind} {taken!r}, a name that {CORE} has: it must "
                    "take another."
                )
            for name in filter(registry.clashes, registry.names()):
                raise _Refused(f"it registers the {registry.kind} {name!r} twice.")
        return offered

    done = run_apart(
        work, limit=limit, told_after=_TOLD_AFTER, tell=lambda: _tell_waiting(found, limit)
    )
    if done.value is not None:
        about = _about(found, "loaded", _oddity(done.value, done.printed))
        empty = not any(registry.names() for registry in done.value)
        return evolve(about, is_empty=empty), done.value
    error = done.error
    assert error is not None
    details = "".join(traceback.format_exception(error))
    return _about(found, *_verdict(error, found, version, limit), details), None


def _verdict(error: BaseException, found: Found, version: str, limit: float) -> tuple[str, str]:
    """State and reason of a plugin that did not load."""
    if isinstance(error, TookTooLong):
        return "failed", (
            f"it takes longer than {limit:g} s to load ({_TIMEOUT}=... allows more); a plugin is "
            "to import nothing heavy, and to wait for nothing."
        )
    if isinstance(error, _Refused):
        return "failed", one_line(str(error))
    if isinstance(error, (IncompatiblePlugin, pluggy.PluginValidationError)):
        return "incompatible", one_line(str(error))
    if isinstance(error, ImportError) and (error.name or "").partition(".")[0] == "llmattn":
        return "incompatible", (
            f"{one_line(error)}: {CORE} {version} lacks that; upgrade {CORE}, or look for another "
            f"version of {found.distribution}."
        )
    if isinstance(error, EOFError):
        return "failed", f"{one_line(error)}: it reads standard input while it is loaded."
    return "failed", f"{one_line(error)}."


def _oddity(offered: Registries, printed: str) -> str:
    """What is wrong with a plugin that is loaded all the same."""
    if not any(registry.names() for registry in offered):
        return "it registers nothing: no provider, no cache, no executor."
    return f"it prints while it is loaded, which is kept back: {printed[:80]!r}" if printed else ""


def _tell_waiting(found: Found, limit: float) -> None:
    warn(
        f"Waiting for the plugin {found.name!r} ({found.distribution}) to load, for up to "
        f"{limit:g} s; {_DISABLE}={found.name} leaves it out."
    )


class _Refused(Exception):
    """The plugin does what none may; the message says what."""


def _check_core_requirement(dist: metadata.Distribution | None, version: str) -> None:
    """Raise IncompatiblePlugin if the plugin asks for another llmattn-core than this one."""
    for text in (dist.requires or []) if dist else []:
        try:
            requirement = Requirement(text)
        except InvalidRequirement:
            continue
        is_core = canonicalize_name(requirement.name) == CORE
        if is_core and not requirement.specifier.contains(version, prereleases=True):
            raise IncompatiblePlugin(
                f"it needs {CORE}{requirement.specifier}, and {version} is here."
            )


def _register(plugin: Any, distribution: str) -> Registries:
    """What one plugin registers through its hooks."""
    manager = pluggy.PluginManager("llmattn")
    manager.add_hookspecs(hookspecs)
    manager.register(plugin)
    _check_hooks(manager, plugin)
    providers, caches, executors = ProviderRegistry(), CacheRegistry(), ExecutorRegistry()
    for registry in (providers, caches, executors):
        registry._registering.append(distribution)
    manager.hook.llmattn_register_providers(registry=providers)
    manager.hook.llmattn_register_caches(registry=caches)
    manager.hook.llmattn_register_executors(registry=executors)
    return providers, caches, executors


def _check_hooks(manager: pluggy.PluginManager, plugin: Any) -> None:
    """Refuse misspelt hooks, defaults in their signatures, and plugins without any hook."""
    callers = manager.get_hookcallers(plugin) or []
    for caller in callers:
        if not caller.has_spec():
            raise IncompatiblePlugin(f"it implements {caller.name}, which is no hook of llmattn.")
        for implementation in caller.get_hookimpls():
            for parameter in inspect.signature(implementation.function).parameters.values():
                if parameter.default is not parameter.empty:
                    raise IncompatiblePlugin(f"{caller.name} has a default for {parameter.name!r}.")
    if not callers:
        raise IncompatiblePlugin("it implements no hook of llmattn.")
