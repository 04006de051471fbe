"""Opens the sources that a choice of scores names: each provider set up, with the cache."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack

import attrs

from llmattn.cache.open import cache_folder, open_cache
from llmattn.data.tokenizer import lines_of_words
from llmattn.errors import ConfigError
from llmattn.executors.open import opened_executor
from llmattn.executors.protocol import Executor
from llmattn.executors.settings import LOCAL
from llmattn.notices import warn_once
from llmattn.options import options_of
from llmattn.plugins import Plugins, load_plugins
from llmattn.providers.protocol import AttentionProvider, NeedsText
from llmattn.registry import CORE, Registered
from llmattn.scoring.calls import give_back
from llmattn.scoring.elsewhere import Asking, asking_of
from llmattn.scoring.find_provider import (
    Built,
    assign_options,
    build_provider,
    choose_provider,
    settings_of,
)
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.source import ScoreSource
from llmattn.settings import environment

__all__ = ["Text", "check_kinds", "open_source", "open_sources", "with_cache"]

Text = str | Sequence[str] | Sequence[Sequence[str]]
"""What providers count in."""

_PAIRS, _TEXTS = "of pairs of words", "in context"
_KINDS = (
    ("pair", _PAIRS, _TEXTS, " --max-requests and --max-cost limit those, too."),
    ("prefix", _TEXTS, _PAIRS, ""),
)


def open_source(
    provider: str | None = None,
    choice: ScoreChoice = ScoreChoice(),
    *,
    text: Text | None = None,
) -> ScoreSource:
    """Open one provider with its cache: :func:`open_sources` of a ``choice`` of this one."""
    names = () if provider is None else (provider,)
    (source,) = open_sources(attrs.evolve(choice, providers=names), text=text)
    return source


def open_sources(
    choice: ScoreChoice = ScoreChoice(), *, text: Text | None = None
) -> list[ScoreSource]:
    """Open the providers of ``choice``, each with the cache.

    Their channels stand side by side in the model. A setting without an owner is for those of
    several that have it. ``text``: the training lines, see ``lines_of_words``, for providers that
    count in them. Raises ConfigError, also for a setting that none of them would read, PluginError
    or CacheError.
    """
    plugins, environ = load_plugins(), environment()
    names = choice.providers or (_named_by(environ, plugins),)
    if len(set(names)) < len(names):
        raise ConfigError(f"A provider is named twice: {', '.join(names)}.")
    registered = [plugins.provider(name) for name in names]
    choice = choice.with_settings(assign_options(choice.settings, registered, choice.others))
    sources: list[ScoreSource] = []
    with ExitStack() as if_broken:
        for each in registered:
            built = build_provider(
                each,
                options=settings_of(each.name, choice.settings),
                model=choice.model,
                environ=environ,
                sends=choice.scoring.sends,
            )
            source = with_cache(each, built, choice, text=text)
            if_broken.callback(source.close)
            sources.append(source)
        _check_one_budget(sources)
        if_broken.pop_all()
    return sources


def with_cache(
    registered: Registered, built: Built, choice: ScoreChoice, *, text: Text | None = None
) -> ScoreSource:
    """The source of a provider that was built, with the cache of ``choice``, whose settings have
    their owners; of a failure, the provider and the cache are closed. ``text``: see
    :func:`open_sources`. Raises ConfigError, PluginError or CacheError.
    """
    name, provider = registered.name, built.provider
    with ExitStack() as if_broken:
        if_broken.callback(give_back, name, provider)
        if isinstance(provider, NeedsText):
            if text is None:
                raise ConfigError(
                    f"The provider {name!r} counts words in a text: name the text, "
                    "or another provider (--provider; `llmattn plugins` lists them)."
                )
            provider.read_text(lines_of_words(text))
        store = open_cache(
            choice.cache,
            cache_dir=choice.cache_dir,
            options=settings_of(choice.cache, choice.settings),
            plugins=load_plugins(),
            create=choice.scoring.ask,
        )
        if_broken.callback(store.close)
        batches = cache_folder(store, cache_dir=choice.cache_dir) / "batches"
        asking, executor = _elsewhere(registered, provider, choice)
        source = ScoreSource(
            name,
            provider,
            store,
            choice.scoring,
            built.addresses,
            batches,
            registered,
            asking,
            executor,
        )
        if_broken.pop_all()  # from here on the source closes both
    return source


def _elsewhere(
    registered: Registered, provider: AttentionProvider, choice: ScoreChoice
) -> tuple[Asking, AbstractContextManager[Executor]] | tuple[None, None]:
    """How an executor has the provider's requests sent. What the core brings along works here: it
    counts in the text, or is done before a request would be there.
    """
    unused = choice.executor == LOCAL or not choice.scoring.sends
    if unused or registered.distribution == CORE or isinstance(provider, NeedsText):
        return None, None
    options = settings_of(registered.name, choice.settings)
    asking = asking_of(registered, options, choice.model, provider.identity())
    own = settings_of(choice.executor, choice.settings)
    return asking, opened_executor(choice.executor, own)


def check_kinds(sources: Sequence[ScoreSource], choice: ScoreChoice) -> None:
    """Raise ConfigError for an option of ``choice`` about a kind of scores, of pairs or in
    context, that none of ``sources`` has.
    """
    scopes = {source.identity.scope.value for source in sources}
    names = ", ".join(dict.fromkeys(source.name for source in sources))
    for scope, kind, other, instead in _KINDS:
        if scope not in scopes and choice.says_of(scope) and sources:
            flags = " and ".join(said.flag for _, said in options_of(ScoreChoice, scope=scope))
            raise ConfigError(
                f"{flags} are for scores {kind}, and those of {names} are {other}: leave them "
                f"out.{instead}"
            )


def _named_by(environ: Mapping[str, str], plugins: Plugins) -> str:
    """The provider that the environment names; the user is told if it names none, which is taken
    and why.
    """
    chosen = choose_provider(plugins, environ)
    if chosen.why:
        lacking = ", ".join(each.shown for each in plugins.lacking)
        failed = f" Did not load, see `llmattn plugins`: {lacking}." if lacking else ""
        warn_once(
            f"No provider is named: using {chosen.name}, since {chosen.why}. --provider (or "
            f"LLM_PROVIDER) names another.{failed}"
        )
    return chosen.name


def _check_one_budget(sources: Sequence[ScoreSource]) -> None:
    """A limit is kept by each source for itself, so it can stand for one paid source only."""
    paid = [source for source in sources if not source.local]
    if len(paid) > 1 and any(source.options.is_limited for source in paid):
        names = ", ".join(source.name for source in paid)
        raise ConfigError(
            f"--max-cost and --max-requests limit one provider; {names} are {len(paid)}. Score "
            "with each of them first (llmattn score --provider ...), then train without a limit."
        )
