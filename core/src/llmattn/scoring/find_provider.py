"""Which provider to use when nobody says, and how its settings are found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
from attrs import frozen

from llmattn.errors import ConfigError, MissingSetting, PluginError, UnknownPlugin
from llmattn.notices import warn
from llmattn.plugins import Plugins
from llmattn.providers.protocol import AttentionProvider
from llmattn.registry import Registered
from llmattn.settings import origin_of, resolve, resolve_told

__all__ = [
    "OFFLINE",
    "Built",
    "Chosen",
    "assign_options",
    "build_provider",
    "choose_provider",
    "settings_for",
    "settings_of",
    "with_model",
]

OFFLINE = "cooccurrence"
"""The core's own provider for want of any other."""


def settings_of(owner: str, settings: Mapping[str, str]) -> dict[str, str]:
    """The settings ``owner.KEY``, by their KEY."""
    named = (name.rpartition(".") for name in settings)
    return {key: settings[f"{owner}.{key}"] for each, dot, key in named if dot and each == owner}


def assign_options(
    settings: Mapping[str, str], providers: Sequence[Registered], others: Sequence[str] = ()
) -> dict[str, str]:
    """``settings`` as ``NAME.KEY``: one without a NAME is for every provider that has such a
    setting, where ``NAME.KEY`` does not say otherwise.

    ``others``: what else is in use, such as the cache. Raises ConfigError for one that nothing in
    use would read: none is ignored.
    """
    known = {p.name: [field.name for field in attrs.fields(p.settings)] for p in providers}
    assigned: dict[str, str] = {}
    for name in sorted(settings, key=lambda name: "." not in name):
        owner, dot, key = name.rpartition(".")
        if dot and owner not in (*known, *others):
            raise ConfigError(
                f"The option {name!r} is for {owner!r}, which is not in use; in use are: "
                f"{', '.join((*known, *others))}."
            )
        # Of one alone, its settings tell that it has no such one.
        having = [each for each, keys in known.items() if key in keys or len(known) == 1]
        owners = [owner] if dot else having
        if not owners:
            there = "; ".join(f"{each}: {', '.join(k) or 'none'}" for each, k in known.items())
            raise ConfigError(
                f"No provider in use has the option {key!r}; their options are: {there}."
            )
        for each in owners:
            assigned.setdefault(f"{each}.{key}", settings[name])
    return assigned


@frozen
class Chosen:
    """A provider that no option names. ``why``: in words; empty where LLM_PROVIDER names it."""

    name: str
    why: str = ""


def choose_provider(plugins: Plugins, environ: Mapping[str, str]) -> Chosen:
    """The provider where no option names one.

    LLM_PROVIDER decides; else the first of those that registered for it (``chosen_when``) that is
    set up and whose settings are complete; else the offline provider. Raises UnknownPlugin, which
    tells where the name stands, if nothing installed has it.
    """
    if environ.get("LLM_PROVIDER"):
        named = environ["LLM_PROVIDER"].strip().lower()
        try:
            plugins.provider(named)
        except UnknownPlugin as error:
            raise UnknownPlugin(f"{origin_of(environ, 'LLM_PROVIDER')}: {error}") from None
        return Chosen(named)
    for each in plugins.providers.automatic():
        if why := each.why_chosen(environ):
            try:
                resolve(each.settings, owner=each.name, options={}, environ=environ)
            except MissingSetting:
                continue
            except PluginError as error:
                warn(f"{error} Going on without it.")
                continue
            return Chosen(each.name, why)
    return Chosen(OFFLINE, "no other is set up by a key or a language model on this machine")


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
    sends: bool = True,
) -> Built:
    """The provider with its settings; ``options`` without owners. Nothing is sent; ``sends``:
    whether anything will be, for which a key is needed.

    Raises ConfigError or PluginError.
    """
    settings, told = settings_for(
        registered, options=options, model=model, environ=environ, sends=sends
    )
    return Built(registered.build(settings), told)


def settings_for(
    registered: Registered,
    *,
    options: Mapping[str, str],
    model: str | None,
    environ: Mapping[str, str],
    sends: bool = True,
) -> tuple[object, tuple[tuple[str, str], ...]]:
    """The settings of a provider, and the addresses of :class:`Built`; see
    :func:`build_provider`.
    """
    options = with_model(registered, options, model)
    kind: type[object] = registered.settings
    return resolve_told(kind, owner=registered.name, options=options, environ=environ, sends=sends)


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
