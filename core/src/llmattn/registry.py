"""What plugins have registered: names, factories and settings classes; nothing is built yet."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from typing import Any

from attrs import field, frozen

from llmattn.errors import LlmattnError, PluginError, UnknownPlugin

__all__ = ["CacheRegistry", "ProviderRegistry", "Registered", "Registry"]

_KNOWN_PACKAGES = {
    "openai": "llmattn-openai",
    "cerebras": "llmattn-cerebras",
    "custom": "llmattn-custom",
    "transformers": "llmattn-transformers",
    "redis": "llmattn-redis",
}


@frozen
class Registered:
    """One registered name."""

    name: str
    factory: str | Callable[[Any], Any]
    """``"package.module:attribute"`` or a callable; called with the settings."""
    settings: type
    help: str
    distribution: str

    def load(self) -> Any:
        """The factory itself. This is where heavy imports happen.

        Raises PluginError if it cannot be imported.
        """
        if not isinstance(self.factory, str):
            return self.factory
        module, _, attribute = self.factory.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            raise PluginError(
                f"{self.name!r} from {self.distribution} cannot be loaded: {error}. "
                f"Reinstall {self.distribution}, or remove it."
            ) from error

    def build(self, settings: object) -> Any:
        """The provider or cache.

        Raises PluginError if the factory cannot be imported, or fails with an error that is
        none of llmattn's.
        """
        factory = self.load()
        try:
            return factory(settings)
        except LlmattnError:
            raise
        except Exception as error:
            raise PluginError(
                f"{self.name!r} from {self.distribution} cannot be made: {type(error).__name__}: "
                f"{error}. That is a fault of {self.distribution}; --debug shows where."
            ) from error

    @property
    def local(self) -> bool:
        """Whether the class that it builds says that it costs nothing and needs no network: a fact
        of the installed plugin, known before anything is built. False for a factory that is a
        function. Raises PluginError if the class cannot be imported.
        """
        return bool(getattr(self.load(), "local", False))


@frozen
class Registry:
    """Names of one kind. ``add`` is what a plugin calls."""

    kind: str
    _entries: dict[str, list[Registered]] = field(factory=dict)
    _registering: list[str] = field(factory=lambda: ["unknown"])

    def add(
        self, name: str, factory: str | Callable[[Any], Any], settings: type, help: str = ""
    ) -> None:
        """Offer ``name``.

        ``factory``: ``"package.module:attribute"`` (imported only when the name is chosen)
        or a callable; it is called with an instance of ``settings``, a frozen attrs class
        whose fields are made with ``llmattn.settings.setting``. ``help``: one line.
        """
        if not name.isidentifier():
            raise ValueError(f"a {self.kind}'s name must be an identifier, not {name!r}")
        if not hasattr(settings, "__attrs_attrs__"):
            raise TypeError(f"{self.kind} {name!r}: settings must be an attrs class")
        entry = Registered(name, factory, settings, help, self._registering[-1])
        self._entries.setdefault(name, []).append(entry)

    def __iter__(self) -> Iterator[Registered]:
        for name in sorted(self._entries):
            yield from self._entries[name]

    def names(self) -> list[str]:
        """The names on offer, sorted."""
        return sorted(self._entries)

    def clashes(self, name: str) -> bool:
        """Whether two distributions offer this name."""
        return len(self._entries.get(name, ())) > 1

    def get(self, name: str) -> Registered:
        """What was registered as ``name``.

        Raises UnknownPlugin, or PluginError when two distributions claim the name.
        """
        found = self._entries.get(name, [])
        if len(found) > 1:
            owners = " and ".join(entry.distribution for entry in found)
            raise PluginError(
                f"Two plugins offer the {self.kind} {name!r}: {owners}. Uninstall one of them, "
                "or name one in LLMATTN_DISABLE_PLUGINS."
            )
        if found:
            return found[0]
        hint = ""
        if name in _KNOWN_PACKAGES:
            hint = f" Try: pip install {_KNOWN_PACKAGES[name]}"
        elif self.kind == "provider":
            hint = " More are plugins, such as: pip install llmattn-openai"
        raise UnknownPlugin(
            f"No {self.kind} is called {name!r}. Installed: {', '.join(self.names())}.{hint}"
        )


class ProviderRegistry(Registry):
    """What ``llmattn_register_providers`` receives."""

    def __init__(self) -> None:
        super().__init__("provider")


class CacheRegistry(Registry):
    """What ``llmattn_register_caches`` receives."""

    def __init__(self) -> None:
        super().__init__("cache")
