"""What llmattn-core brings along, registered through the same hooks as any plugin."""

from __future__ import annotations

from llmattn.cache.settings import LmdbSettings, MemorySettings
from llmattn.hookspecs import hookimpl
from llmattn.providers.settings import CooccurrenceSettings, RandomSettings
from llmattn.registry import CacheRegistry, ProviderRegistry


@hookimpl
def llmattn_register_providers(registry: ProviderRegistry) -> None:
    registry.add(
        "cooccurrence",
        "llmattn.providers.cooccurrence:CooccurrenceProvider",
        CooccurrenceSettings,
        "how often two words share a line of your own corpus (offline)",
    )
    registry.add(
        "random",
        "llmattn.providers.random:RandomProvider",
        RandomSettings,
        "control: a hash of both words (offline)",
    )


@hookimpl
def llmattn_register_caches(registry: CacheRegistry) -> None:
    registry.add(
        "lmdb", "llmattn.cache.lmdb.cache:LmdbCache", LmdbSettings, "a file on this machine"
    )
    registry.add("memory", "llmattn.cache.memory:MemoryCache", MemorySettings, "gone at the end")
