"""Finds an executor by name, with its settings; those who name the same one share it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from attrs import define

from llmattn.executors.protocol import Executor
from llmattn.notices import notify_once
from llmattn.plugins import load_plugins
from llmattn.settings import environment, resolve_told

__all__ = ["opened_executor"]


@define
class _Shared:
    executor: Executor
    users: int = 0


_open: dict[tuple[str, frozenset[tuple[str, str]]], _Shared] = {}


@contextmanager
def opened_executor(name: str, options: Mapping[str, str]) -> Iterator[Executor]:
    """The executor that is registered as ``name``, until its last user is done with it.

    ``options``: its settings by name, which win over the environment. Raises UnknownPlugin,
    PluginError, ConfigError or what the executor raises that cannot be reached.
    """
    key = name, frozenset(options.items())
    if key not in _open:
        registered, environ = load_plugins().executor(name), environment()
        kind: type[Any] = registered.settings
        settings, told = resolve_told(kind, owner=name, options=options, environ=environ)
        for address, origin in told:
            notify_once(f"carrying work out at {address}, from {origin}")
        _open[key] = _Shared(cast(Executor, registered.build(settings)))
    shared = _open[key]
    shared.users += 1
    try:
        yield shared.executor
    finally:
        shared.users -= 1
        if not shared.users:
            del _open[key]
            shared.executor.close()
