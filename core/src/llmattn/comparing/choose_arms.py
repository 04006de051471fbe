"""Which arms a comparison has, once it is known what its scores are like: the default ones are the
controls that fit them, and `random` reads as many channels of the same scope. Asks for no score.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import cache
from typing import Any

import attrs
from attrs import frozen

from llmattn.comparing.arms import Arm, default_arms, parse_arms
from llmattn.comparing.score_sets import ScoreSet, arm_readers, score_sets
from llmattn.plugins import load_plugins
from llmattn.providers.protocol import AttentionProvider
from llmattn.rows import Scope
from llmattn.scoring.calls import give_back
from llmattn.scoring.find_provider import assign_options, build_provider, settings_of
from llmattn.scoring.options import ScoreChoice
from llmattn.settings import environment

__all__ = ["choose_arms"]


@frozen
class _Kind:
    """What scores are like before any is there. ``scope``: PREFIX if any of them are in context."""

    scope: Scope
    channels: int


def choose_arms(
    names: Sequence[str], tables: Mapping[str, Any], scores: ScoreChoice
) -> tuple[Arm, ...]:
    """The arms of these names; none named: the default ones.

    ``tables``: the arms of a configuration file. ``scores``: those of arms that name no provider.
    Builds a provider at most once, and only where its scope or its channels matter. Raises
    ConfigError or PluginError.
    """
    kind_of = cache(_kind_of)
    if not names:
        in_context = False
        if not tables:
            (chosen,) = score_sets(parse_arms(["external"], {}), scores).values()
            in_context = kind_of(chosen).scope is Scope.PREFIX
        names = default_arms(tables, in_context=in_context)
    return _like_the_scores(parse_arms(names, tables), scores, kind_of)


def _like_the_scores(
    arms: Sequence[Arm], scores: ScoreChoice, kind_of: Callable[[ScoreSet], _Kind]
) -> tuple[Arm, ...]:
    """The arms; those that read `random` are made like the first one that reads anything else."""
    real = [arm for arm in arms if arm.uses_scores and not arm.reads_noise]
    if not real or not any(arm.reads_noise for arm in arms):
        return tuple(arms)
    kind = kind_of(score_sets(real, scores)[real[0].name])
    wanted = {"scope": kind.scope.value, "channels": str(kind.channels)}
    settings = scores.settings
    said = {name.removeprefix("random.") for name in settings if name.startswith("random.")}
    if all(each.default == ("random",) for each in arm_readers(arms, scores)):
        said |= {*settings}  # what names no provider is said of random, too

    def like_them(arm: Arm) -> Arm:
        more = {
            f"random.{key}": value
            for key, value in wanted.items()
            if key not in arm.options and key not in said
        }
        return attrs.evolve(arm, options={**more, **arm.options})

    return tuple(like_them(arm) if arm.reads_noise else arm for arm in arms)


def _kind_of(chosen: ScoreSet) -> _Kind:
    plugins, environ, choice = load_plugins(), environment(), chosen.choice
    registered = [plugins.provider(name) for name in choice.providers]
    settings = assign_options(choice.settings, registered, [choice.cache])
    built: list[AttentionProvider] = []
    with ExitStack() as stack:
        for found in registered:
            provider = build_provider(
                found,
                options=settings_of(found.name, settings),
                model=choice.model,
                environ=environ,
                sends=False,
            ).provider
            stack.callback(give_back, found.name, provider)
            built.append(provider)
        in_context = any(provider.scope is Scope.PREFIX for provider in built)
        return _Kind(
            Scope.PREFIX if in_context else Scope.PAIR,
            sum(len(provider.channels) for provider in built),
        )
