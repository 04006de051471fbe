"""Which provider to use when nobody says, and how its settings are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
from attrs import frozen

from llmattn.errors import ConfigError, MissingSetting, UnknownPlugin
from llmattn.plugins import Plugins
from llmattn.providers.protocol import AttentionProvider
from llmattn.registry import Registered
from llmattn.settings import addresses, origin_of, resolve, stated

__all__ = [
    "OFFLINE",
    "Built",
    "build_provider",
    "check_owners",
    "choose_provider",
    "options_of",
    "settle_options",
    "with_model",
]

AUTOMATIC = ("cerebras", "openai", "custom")
"""Searched in this order for one whose settings are complete."""
OFFLINE = "cooccurrence"


def options_of(owner: str, options: Mapping[str, str], *, default_owner: bool) -> dict[str, str]:
    """The options ``owner.key`` without their owner; bare keys too if ``default_owner``."""
    mine = {}
    for name, value in options.items():
        prefix, dot, key = name.rpartition(".")
        if prefix == owner or (default_owner and not dot):
            mine[key] = value
    return mine


def settle_options(options: Mapping[str, str], providers: Sequence[Registered]) -> dict[str, str]:
    """``options``, of which each without an owner is for every provider that has such a setting;
    ``owner.key`` wins over it. Raises ConfigError for one that none of ``providers`` has.
    """
    settled = {name: value for name, value in options.items() if "." in name}
    names = {p.name: [field.name for field in attrs.fields(p.settings)] for p in providers}
    for key, value in options.items():
        if "." in key:
            continue
        owners = [owner for owner, known in names.items() if key in known]
        if not owners:
            known = "; ".join(f"{owner}: {', '.join(k) or 'none'}" for owner, k in names.items())
            raise ConfigError(
                f"No provider in use has the option {key!r}; their options are: {known}."
            )
        for owner in owners:
            settled.setdefault(f"{owner}.{key}", value)
    return settled


def check_owners(options: Mapping[str, str], owners: Sequence[str]) -> None:
    """Raise ConfigError for an option whose owner is not in use: no option is ignored."""
    for name in options:
        owner, dot, _ = name.rpartition(".")
        if dot and owner not in owners:
            raise ConfigError(
                f"The option {name!r} is for {owner!r}, which is not in use; in use are: "
                f"{', '.join(owners)}."
            )


def choose_provider(plugins: Plugins, environ: Mapping[str, str]) -> tuple[str, bool]:
    """The provider's name, and whether it is the offline one for want of anything better.

    LLM_PROVIDER decides; else the first of cerebras, openai, custom that is installed and
    whose settings are complete; else the offline provider. Raises UnknownPlugin, which tells
    where the name stands, if nothing installed has it.
    """
    if environ.get("LLM_PROVIDER"):
        named = environ["LLM_PROVIDER"].strip().lower()
        try:
            plugins.provider(named)
        except UnknownPlugin as error:
            raise UnknownPlugin(f"{origin_of(environ, 'LLM_PROVIDER')}: {error}") from None
        return named, False
    for name in AUTOMATIC:
        if name in plugins.providers.names() and not plugins.providers.clashes(name):
            try:
                resolve(plugins.provider(name).settings, owner=name, options={}, environ=environ)
            except MissingSetting:
                continue
            return name, False
    return OFFLINE, True


@frozen
class Built:
    """A provider, and the addresses that it asks if they are not its own defaults: each with
    where it comes from.
    """

    provider: AttentionProvider
    addresses: tuple[tuple[str, str], ...] = ()


def build_provider(
    registered: Registered,
    *,
    options: Mapping[str, str],
    model: str | None,
    environ: Mapping[str, str],
) -> Built:
    """The provider with its settings; ``options`` without owners. Nothing is sent.

    Raises ConfigError or PluginError.
    """
    options = with_model(registered, options, model)
    kind: type[object] = registered.settings
    settings = resolve(kind, owner=registered.name, options=options, environ=environ)
    said = stated(kind, owner=registered.name, options=options, environ=environ)
    return Built(registered.build(settings), tuple(addresses(settings, said)))


def with_model(
    registered: Registered, options: Mapping[str, str], model: str | None
) -> dict[str, str]:
    """``options`` with what ``--model`` says. Raises ConfigError for a provider without models."""
    options = dict(options)
    if model is not None:
        names = {f.name for f in attrs.fields(registered.settings)}
        if "model" not in names:
            raise ConfigError(f"The provider {registered.name!r} has no models; leave out --model.")
        options["model"] = model
    return options
