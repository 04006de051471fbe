"""The hooks that a plugin may implement. They only register; work is done by plain objects."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from llmattn.registry import CacheRegistry, ExecutorRegistry, ProviderRegistry

__all__ = [
    "hookimpl",
    "llmattn_register_caches",
    "llmattn_register_executors",
    "llmattn_register_providers",
]

hookspec = pluggy.HookspecMarker("llmattn")
hookimpl = pluggy.HookimplMarker("llmattn")
"""Marks a plugin's function as the implementation of the hook of the same name."""


@hookspec
def llmattn_register_providers(registry: ProviderRegistry) -> None:
    """Register attention providers: ``registry.add(name, factory, settings, help)``, and what they
    cost and when they are chosen (``ProviderRegistry.add``).
    """


@hookspec
def llmattn_register_caches(registry: CacheRegistry) -> None:
    """Register score caches: ``registry.add(name, factory, settings, help)``."""


@hookspec
def llmattn_register_executors(registry: ExecutorRegistry) -> None:
    """Register executors: ``registry.add(name, factory, settings, help)``."""
