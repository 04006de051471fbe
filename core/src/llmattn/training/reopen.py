"""The scores of a checkpoint, opened again: its providers, set up as they were."""

from __future__ import annotations

from contextlib import ExitStack

import attrs

from llmattn.data.corpus import Corpus
from llmattn.data.feed import Feeds
from llmattn.errors import ConfigError
from llmattn.identity import Identity
from llmattn.plugins import load_plugins
from llmattn.rows import Scope
from llmattn.scoring.find_provider import assign_options
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.source import ScoreSource, open_source
from llmattn.training.checkpoint import Checkpoint, Scored
from llmattn.training.scores import join_feeds, reading_of

__all__ = ["reopen_feeds", "reopen_source", "settings_in_context", "with_owners"]


def reopen_feeds(checkpoint: Checkpoint, corpus: Corpus, choice: ScoreChoice) -> Feeds:
    """The scores of ``corpus`` for the checkpoint's model.

    Those of pairs are in the checkpoint. Those in context come from the files beside the cache,
    or are asked for as in training. Raises ConfigError for a provider that would give others,
    CheckpointError if no provider gives them.
    """
    checkpoint.check_scores()
    choice = with_owners(choice, checkpoint)
    config = checkpoint.model_config
    with ExitStack() as stack:
        readings = []
        for scored in checkpoint.scored:
            if scored.identity.scope is Scope.PREFIX:
                source = stack.enter_context(reopen_source(scored, choice))
                reading = reading_of(
                    source, transform=scored.transforms, context_words=scored.context_words
                )
                readings.append((source, reading))
        return join_feeds(
            checkpoint.table,
            checkpoint.coverage,
            readings,
            corpus,
            block_size=config.block_size,
            channels=config.channels,
        )


def settings_in_context(checkpoint: Checkpoint) -> set[str]:
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


def with_owners(choice: ScoreChoice, checkpoint: Checkpoint) -> ScoreChoice:
    """``choice`` with each setting that names no provider given to those of the checkpoint's that
    have it. Raises ConfigError if none has it.
    """
    plugins = load_plugins()
    installed = plugins.providers.names()
    names = [scored.identity.provider for scored in checkpoint.scored]
    known = [plugins.provider(name) for name in names if name in installed]
    if not known:
        return choice
    return choice.with_settings(assign_options(choice.settings, known, [*names, choice.cache]))


def reopen_source(scored: Scored, choice: ScoreChoice) -> ScoreSource:
    """The source of a checkpoint's provider with the checkpoint's settings.

    ``choice`` adds what they need besides: keys, limits, the cache. Raises ConfigError if the
    provider would now give other scores, and what ``open_source`` raises.
    """
    wanted = scored.identity
    known = attrs.fields_dict(load_plugins().provider(wanted.provider).settings)
    details = {**dict(wanted.details), "scope": wanted.scope.value}
    trained = {
        f"{wanted.provider}.{name}": str(value)
        for name, value in details.items()
        if name in known and value is not None
    }
    owners = (wanted.provider, choice.cache)
    given = {k: v for k, v in choice.settings.items() if k.rpartition(".")[0] in owners}
    if choice.cache == "memory":
        choice = attrs.evolve(choice, cache_dir=None)
    source = open_source(wanted.provider, choice.with_settings({**trained, **given}))
    if source.identity != wanted:
        source.close()
        raise ConfigError(
            f"The provider {wanted.provider!r} would now give other scores than the checkpoint "
            f"was trained on ({_difference(wanted, source.identity)}): set it up as it was "
            "then."
        )
    return source


def _difference(then: Identity, now: Identity) -> str:
    """What changed between two identities, in words."""
    a, b = ({**i.to_dict(), **dict(i.details)} for i in (then, now))
    changed = sorted(name for name in {*a, *b} - {"details"} if a.get(name) != b.get(name))
    return "; ".join(f"{name} was {a.get(name)!r}, is {b.get(name)!r}" for name in changed)
