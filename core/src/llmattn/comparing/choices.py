"""Which scores each arm reads; arms that read the same ones share them."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from llmattn.comparing.arms import Arm
from llmattn.errors import ConfigError
from llmattn.plugins import load_plugins
from llmattn.scoring.choose import check_owners, choose_provider
from llmattn.settings import environment
from llmattn.training.choice import ScoreChoice

__all__ = ["ScoreSet", "check_options", "default_providers", "is_for", "score_sets", "stated_again"]


@frozen
class ScoreSet:
    """One set of scores. ``providers`` and ``options`` as ``open_sources`` takes them."""

    providers: tuple[str, ...]
    options: tuple[tuple[str, str], ...] = ()
    model: str | None = None
    transform: str = "auto"
    context_words: int = 0
    shuffled: bool = False
    averaged: bool = False

    @property
    def name(self) -> str:
        """What to call it in messages."""
        return "+".join(self.providers) + (f"/{self.control}" if self.control else "")

    @property
    def control(self) -> str:
        """What was done to scores in context, as an arm's ending says it; empty for nothing."""
        return "shuffled" if self.shuffled else "averaged" if self.averaged else ""


def default_providers(arms: Sequence[Arm], scores: ScoreChoice) -> tuple[str, ...]:
    """The providers of arms that name none: the comparison's, or the one that the environment
    names if such an arm needs it.
    """
    if scores.providers or not any(arm.uses_scores and not arm.providers for arm in arms):
        return scores.providers
    return (choose_provider(load_plugins(), environment())[0],)


def score_sets(arms: Sequence[Arm], scores: ScoreChoice) -> dict[str, ScoreSet]:
    """The set of scores of each arm that reads any, by the arm's name.

    The comparison's options go to the arms that have their owners.
    """
    default = default_providers(arms, scores)
    return {arm.name: _score_set(arm, scores, default) for arm in arms if arm.uses_scores}


def check_options(arms: Sequence[Arm], scores: ScoreChoice) -> None:
    """Raise ConfigError for an option of the comparison that is for no arm."""
    default = default_providers(arms, scores)
    readers = [arm for arm in arms if arm.uses_scores]
    owners = {name for arm in readers for name in (arm.providers or default)}
    check_owners(scores.options, [*sorted(owners), scores.cache])
    bare = [name for name in scores.options if not _owner(name)]
    if bare and all(arm.providers not in ((), default) for arm in readers):
        raise ConfigError(
            f"The option {bare[0]!r} names no provider, and every arm has providers of its own: "
            f"write it as PROVIDER.{bare[0]}."
        )


def _score_set(arm: Arm, scores: ScoreChoice, default: tuple[str, ...]) -> ScoreSet:
    providers = arm.providers or default
    options = {
        name: value
        for name, value in scores.options.items()
        if is_for(name, arm, default, scores.cache) and not stated_again(name, arm, default)
    }
    return ScoreSet(
        providers=providers,
        options=tuple(sorted({**options, **arm.options}.items())),
        model=arm.model or (scores.model if providers == default else None),
        transform=arm.score_transform or scores.transform,
        context_words=scores.context_words if arm.context_words is None else arm.context_words,
        shuffled=arm.shuffled,
        averaged=arm.averaged,
    )


def is_for(option: str, arm: Arm, default: tuple[str, ...], cache: str) -> bool:
    """Whether an option of the comparison is meant for the scores of ``arm``: one without an owner
    is for the providers ``default``, those of the comparison.
    """
    providers, owner = arm.providers or default, _owner(option)
    return owner in (*providers, cache) if owner else providers == default


def stated_again(option: str, arm: Arm, default: tuple[str, ...]) -> bool:
    """Whether the arm has the setting that an option of the comparison names, perhaps with its
    provider where the other is without, or the other way round.
    """
    key, providers = option.rpartition(".")[2], arm.providers or default
    return key in arm.options or (len(providers) == 1 and f"{providers[0]}.{key}" in arm.options)


def _owner(option: str) -> str:
    """The plugin that an option names; empty for one without."""
    return option.rpartition(".")[0]
