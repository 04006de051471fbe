"""The scores of a checkpoint, opened again: its providers, as the user has set them up.

What the checkpoint says of them is compared with that, and decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from typing import Protocol

import attrs

from llmattn.data.corpus import Corpus
from llmattn.data.text_tokenizer import TextTokenizer
from llmattn.errors import ConfigError, LlmattnError
from llmattn.feeds.agreement import UserSetup
from llmattn.feeds.channels import Scored
from llmattn.feeds.feed import Feeds
from llmattn.feeds.open import join_feeds
from llmattn.feeds.table import ScoreTable
from llmattn.model.config import ModelConfig
from llmattn.plugins import load_plugins
from llmattn.providers.protocol import ChannelChooser
from llmattn.rows import Scope
from llmattn.scoring.find_provider import (
    assign_options,
    choose_provider,
    settings_of,
    with_model,
)
from llmattn.scoring.opening import open_source
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.source import ScoreSource
from llmattn.settings import environment

_FETCHES = "download"
"""The setting of a provider on this machine that may fetch what it lacks."""

__all__ = [
    "ScoredModel",
    "is_local",
    "reopen_feeds",
    "reopen_source",
    "settings_in_context",
    "with_owners",
    "with_users_provider",
]


class ScoredModel(Protocol):
    """What a checkpoint tells of its model and of the scores that this reads."""

    @property
    def model_config(self) -> ModelConfig:
        """Its shape and channels."""
        ...

    @property
    def tokenizer(self) -> TextTokenizer:
        """Its tokens."""
        ...

    @property
    def table(self) -> ScoreTable | None:
        """Its scores of pairs."""
        ...

    @property
    def scored(self) -> Sequence[Scored]:
        """Its providers, in the order of their channels."""
        ...

    @property
    def coverage(self) -> float:
        """The share of the training text's attention positions that is scored."""
        ...

    def check_scores(self) -> None:
        """Raise CheckpointError if no provider gives the scores that it was trained on."""
        ...


def is_local(scored: Scored) -> bool:
    """Whether the installed plugin says of the provider's class that it costs nothing and needs
    no network. False if there is no such plugin.
    """
    try:
        return load_plugins().provider(scored.identity.provider).local
    except LlmattnError:
        return False


def reopen_feeds(
    checkpoint: ScoredModel, corpus: Corpus, choice: ScoreChoice, *, ask: bool = False
) -> Feeds:
    """The scores of ``corpus`` for the checkpoint's model.

    Those of pairs are in the checkpoint. Those in context come from the files beside the cache;
    what is not there is asked of local providers, of those that ``choice`` names, and with ``ask``
    of any. Raises ConfigError for a provider that would give others, CheckpointError if no provider
    gives them.
    """
    checkpoint.check_scores()
    choice = with_owners(choice, checkpoint)
    silent = attrs.evolve(choice.scoring, ask=False)
    config = checkpoint.model_config
    with ExitStack() as stack:
        readings = []
        for scored in checkpoint.scored:
            if scored.identity.scope is Scope.PREFIX:
                may_ask = ask or is_local(scored) or scored.identity.provider in choice.providers
                own = choice if may_ask else attrs.evolve(choice, scoring=silent)
                source = stack.enter_context(reopen_source(scored, own))
                readings.append((source, scored.reading(source)))
        return join_feeds(
            checkpoint.table,
            checkpoint.coverage,
            readings,
            corpus,
            block_size=config.block_size,
            channels=config.channels,
        )


def settings_in_context(checkpoint: ScoredModel) -> set[str]:
    """The settings that its providers of scores in context have, as far as they are installed."""
    providers = load_plugins().providers
    in_context = {
        s.identity.provider for s in checkpoint.scored if s.identity.scope is Scope.PREFIX
    }
    return {
        name
        for provider in in_context & {*providers.names()}
        for name in attrs.fields_dict(providers.get(provider).settings)
    }


def with_users_provider(choice: ScoreChoice) -> ScoreChoice:
    """``choice`` with the provider that the user's environment names, if it names none itself."""
    if choice.providers:
        return choice
    return attrs.evolve(choice, providers=(choose_provider(load_plugins(), environment()).name,))


def with_owners(choice: ScoreChoice, checkpoint: ScoredModel) -> ScoreChoice:
    """``choice`` with each setting that names no provider given to those of the checkpoint's that
    have it. Raises ConfigError if none has it.
    """
    plugins = load_plugins()
    installed = plugins.providers.names()
    names = [scored.identity.provider for scored in checkpoint.scored]
    known = [plugins.provider(name) for name in names if name in installed]
    if not known:
        return choice
    return choice.with_settings(assign_options(choice.settings, known, [*names, *choice.others]))


def reopen_source(scored: Scored, choice: ScoreChoice) -> ScoreSource:
    """The source of a checkpoint's provider with the user's settings: those of ``choice``, the
    environment and the defaults. The checkpoint sets nothing, and since it is the checkpoint that
    names the provider, a model that this would have to download is fetched only if the user names
    one of the two here and now; a variable may be meant for another provider.

    Raises ConfigError, which names both sides, if the provider would then give other scores than
    the checkpoint was trained on, and what ``open_source`` raises.
    """
    wanted = scored.identity
    registered = load_plugins().provider(wanted.provider)
    owners = (wanted.provider, choice.cache)
    own = {k: v for k, v in choice.settings.items() if k.rpartition(".")[0] in owners}
    options = with_model(registered, settings_of(wanted.provider, own), choice.model)
    setup = UserSetup(registered, options, environment())
    named = wanted.provider in choice.providers or "model" in options
    if _FETCHES in attrs.fields_dict(registered.settings) and not named:
        own = {f"{wanted.provider}.{_FETCHES}": "false", **own}
    choice = choice.with_settings(own)
    if choice.cache == "memory":
        choice = attrs.evolve(choice, cache_dir=None)
    try:
        source = open_source(wanted.provider, choice)
    except ConfigError as error:
        remedy = setup.remedy(wanted)
        if not remedy:
            raise
        raise type(error)(f"{error} {remedy}") from None
    if isinstance(source.provider, ChannelChooser) and source.provider.undecided:
        # The user leaves the channels open, so those that training chose are meant.
        source.close()
        names = ",".join(wanted.channels)
        choice = choice.with_settings({**own, f"{wanted.provider}.channels": names})
        source = open_source(wanted.provider, choice)
    if source.identity != wanted:
        told = setup.differences(wanted, source.identity)
        source.close()
        raise ConfigError(
            f"The provider {wanted.provider!r} would give other scores here than the checkpoint "
            f"was trained on: {told}"
        )
    return source
