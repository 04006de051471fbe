"""What plugins have registered: names, factories and settings classes; nothing is built yet."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs
from attrs import field, frozen

from llmattn.environment import is_set, origin_of
from llmattn.errors import ConfigError, LlmattnError, PluginError, UnknownPlugin
from llmattn.isolation import is_interrupt, one_line, printing_apart

if TYPE_CHECKING:
    from llmattn.providers.prices import Price

    Prices = str | Mapping[str, Price] | Callable[[], Mapping[str, Price]]
    AtHand = Callable[[Mapping[str, str]], str]

__all__ = [
    "CORE",
    "CacheRegistry",
    "ExecutorRegistry",
    "ProviderRegistry",
    "Registered",
    "Registry",
]

CORE = "llmattn-core"
"""The distribution whose names no plugin may take."""
LAST = 50
"""The place of a provider that does not say which it has among those chosen by themselves."""


@frozen
class Registered:
    """One registered name."""

    name: str
    factory: str | Callable[[Any], Any]
    """``"package.module:attribute"`` or a callable; called with the settings."""
    settings: type
    help: str
    distribution: str
    prices: Prices | None = None
    """What its models cost, or where that stands; see ``llmattn.providers.prices.price_of``."""
    chosen_when: tuple[str, ...] | AtHand = ()
    """The variables of the environment that, all set, choose it where nobody names a provider; or
    a function of the environment that says in words why it is chosen, empty if it is not.
    """
    order: int = LAST
    """Its place among those that are chosen so; the least comes first."""
    vectors: str | Callable[[Any], Any] | None = None
    """The factory of its word vectors (``VectorProvider``), called with the settings."""

    def load(self) -> Any:
        """The factory itself. This is where heavy imports happen.

        Raises PluginError if it cannot be imported.
        """
        return self.imported(self.factory)

    def imported(self, reference: Any) -> Any:
        """What a ``"package.module:attribute"`` of the plugin leads to; anything else as it is.

        Raises PluginError if it cannot be imported.
        """
        if not isinstance(reference, str):
            return reference
        module, _, attribute = reference.partition(":")
        try:
            with printing_apart():
                return getattr(importlib.import_module(module), attribute)
        except BaseException as error:  # sys.exit() is one
            if is_interrupt(error) or isinstance(error, MemoryError):
                raise
            raise PluginError(
                f"{self.name!r} from {self.distribution} cannot be loaded: {one_line(error)}. "
                f"Reinstall {self.distribution}, or ask its authors; --debug shows where."
            ) from error

    def build(self, settings: object) -> Any:
        """The provider or cache.

        Raises PluginError if the factory cannot be imported, or fails with an error that is
        none of llmattn's.
        """
        return self._built(self.load(), settings)

    def build_vectors(self, settings: object) -> Any:
        """What gives its word vectors. Raises PluginError as :meth:`build` does, and ConfigError
        if it offers none.
        """
        if self.vectors is None:
            raise ConfigError(
                f"The provider {self.name!r} has no word vectors: name another with "
                "--word-vectors; docs/transfer.md says which of ours have them."
            )
        return self._built(self.imported(self.vectors), settings)

    def _built(self, factory: Any, settings: object) -> Any:
        try:
            return factory(settings)
        except (LlmattnError, MemoryError):
            raise
        except BaseException as error:
            if is_interrupt(error):
                raise
            raise PluginError(
                f"{self.name!r} from {self.distribution} cannot be made: {one_line(error)}. That "
                f"is a fault of {self.distribution}; --debug shows where."
            ) from error

    def why_chosen(self, environ: Mapping[str, str]) -> str:
        """Why it may be taken where nobody names a provider, in words; empty if it may not."""
        if not callable(self.chosen_when):
            are_set = all(is_set(environ, variable) for variable in self.chosen_when)
            names = " and ".join(origin_of(environ, variable) for variable in self.chosen_when)
            return f"{names} {'are' if len(self.chosen_when) > 1 else 'is'} set" if are_set else ""
        try:
            with printing_apart():
                why = self.chosen_when(environ)
        except BaseException as error:  # who names the provider will see what is wrong
            if is_interrupt(error) or isinstance(error, MemoryError):
                raise
            return ""
        return one_line(why) if isinstance(why, str) and why else ""

    @property
    def local(self) -> bool:
        """Whether the class that it builds says that it costs nothing and needs no network: a fact
        of the installed plugin, known before anything is built. False for a factory that is a
        function. Raises PluginError if the class cannot be imported.
        """
        return getattr(self.load(), "local", False) is True


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
        whose fields are made with ``llmattn.plugin.setting``. ``help``: one line, which
        ``llmattn plugins`` shows.
        """
        self._add(name, factory, settings, help)

    def _add(
        self,
        name: str,
        factory: str | Callable[[Any], Any],
        settings: type,
        help: str,
        **more: Any,
    ) -> None:
        if not (isinstance(name, str) and name.isidentifier()):
            raise ValueError(f"a {self.kind}'s name must be an identifier, not {name!r}")
        if not (isinstance(factory, str) or callable(factory)):
            raise TypeError(f"{self.kind} {name!r}: the factory must be callable, or lead to one")
        if not isinstance(help, str):
            raise TypeError(f"{self.kind} {name!r}: help must be a text")
        _check_settings(f"{self.kind} {name!r}", settings)
        owner = self._registering[-1]
        entry = Registered(name, factory, settings, one_line(help), owner, **more)
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
                f"Two plugins offer the {self.kind} {name!r}: {owners}. Name one of them in "
                "LLMATTN_DISABLE_PLUGINS, or uninstall it."
            )
        if found:
            return found[0]
        raise UnknownPlugin(
            f"No {self.kind} is called {name!r}. Installed: {', '.join(self.names())}. Others are "
            "plugins: packages that pip installs into this Python; `llmattn plugins` lists those "
            "that are found."
        )


def _check_settings(who: str, settings: Any) -> None:
    """Raise TypeError for a settings class that could be neither filled nor listed."""
    if not (isinstance(settings, type) and attrs.has(settings)):
        raise TypeError(f"{who}: settings must be an attrs class")
    try:
        attrs.resolve_types(settings)
    except Exception as error:
        raise TypeError(
            f"{who}: the types in {settings.__name__} cannot be found: {one_line(error)}"
        ) from None
    for each in attrs.fields(settings):
        if "help" not in each.metadata:
            raise TypeError(
                f"{who}: {settings.__name__}.{each.name} is not made with llmattn.plugin.setting()"
            )


class ProviderRegistry(Registry):
    """The providers that plugins offer: the argument of the hook ``llmattn_register_providers``,
    whose :meth:`add` the plugin calls.
    """

    def __init__(self) -> None:
        super().__init__("provider")

    def add(
        self,
        name: str,
        factory: str | Callable[[Any], Any],
        settings: type,
        help: str = "",
        *,
        prices: Prices | None = None,
        chosen_when: str | Sequence[str] | AtHand = (),
        order: int = LAST,
        vectors: str | Callable[[Any], Any] | None = None,
    ) -> None:
        """Offer ``name``, as :meth:`Registry.add` does.

        ``prices``: a ``Price`` for each model that is known by name, or a function without
        arguments that gives such a mapping, or ``"package.module:attribute"`` of either, which is
        imported only when a price is wanted. ``chosen_when``: a variable of the environment, or
        several, such as the one that holds the key: where nobody names a provider, the first whose
        variables are all set, and whose settings are complete, is taken. Or a function of the
        environment: why it is at hand, in words, and empty if it is not; it must be quick, and
        sends nothing. ``order``: its place among those; the least comes first, equal ones by name.
        ``vectors``: what makes its ``VectorProvider`` of the settings, if it has word vectors, too.
        """
        when: tuple[str, ...] | AtHand
        if callable(chosen_when):
            when = chosen_when
        else:
            when = (chosen_when,) if isinstance(chosen_when, str) else tuple(chosen_when)
            if not all(isinstance(variable, str) and variable for variable in when):
                raise TypeError(f"provider {name!r}: chosen_when must name variables")
        if not (prices is None or callable(prices) or isinstance(prices, (str, Mapping))):
            raise TypeError(f"provider {name!r}: prices must be a mapping, or lead to one")
        if not isinstance(order, int):
            raise TypeError(f"provider {name!r}: order must be a whole number")
        self._add(
            name,
            factory,
            settings,
            help,
            prices=prices,
            chosen_when=when,
            order=order,
            vectors=vectors,
        )

    def automatic(self) -> Iterator[Registered]:
        """Those that may be chosen though nobody names them, the first to be tried first; a name
        that two distributions claim is none.
        """
        offered = [entry for entry in self if entry.chosen_when and not self.clashes(entry.name)]
        yield from sorted(offered, key=lambda entry: (entry.order, entry.name))


class CacheRegistry(Registry):
    """The caches that plugins offer: the argument of the hook ``llmattn_register_caches``, whose
    :meth:`add` the plugin calls.
    """

    def __init__(self) -> None:
        super().__init__("cache")


class ExecutorRegistry(Registry):
    """The executors that plugins offer: the argument of the hook ``llmattn_register_executors``,
    whose :meth:`add` the plugin calls.
    """

    def __init__(self) -> None:
        super().__init__("executor")
