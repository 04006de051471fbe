"""What llmattn-core brings along, registered through the same hooks as any plugin."""

from __future__ import annotations

from llmattn.cache.settings import LmdbSettings, MemorySettings
from llmattn.executors.settings import LOCAL, LocalSettings
from llmattn.hookspecs import hookimpl
from llmattn.providers.settings import CooccurrenceSettings, RandomSettings
from llmattn.registry import CacheRegistry, ExecutorRegistry, ProviderRegistry


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


@hookimpl
def llmattn_register_executors(registry: ExecutorRegistry) -> None:
    registry.add(
        LOCAL, "llmattn.executors.local:LocalExecutor", LocalSettings, "processes of this machine"
    )
