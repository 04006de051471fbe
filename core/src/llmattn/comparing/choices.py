"""Which scores each arm reads; arms that read the same ones share them."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from llmattn.comparing.arms import Arm
from llmattn.comparing.config import CompareConfig
from llmattn.errors import ConfigError
from llmattn.scoring.choose import check_owners

__all__ = ["ScoreSet", "score_sets"]


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


def score_sets(config: CompareConfig, default: Sequence[str]) -> dict[str, ScoreSet]:
    """The set of scores of each arm that reads any, by the arm's name.

    ``default``: the providers of arms that name none. The comparison's options go to the arms
    that have their owners; raises ConfigError for one that no arm has.
    """
    default = tuple(default)
    arms = [arm for arm in config.arms if arm.uses_scores]
    owners = {name for arm in arms for name in (arm.providers or default)}
    check_owners(config.scores.options, [*sorted(owners), config.scores.cache])
    bare = [name for name in config.scores.options if not _owner(name)]
    if bare and all(arm.providers not in ((), default) for arm in arms):
        raise ConfigError(
            f"The option {bare[0]!r} names no provider, and every arm has providers of its own: "
            f"write it as PROVIDER.{bare[0]}."
        )
    return {arm.name: _score_set(arm, config, default) for arm in arms}


def _score_set(arm: Arm, config: CompareConfig, default: tuple[str, ...]) -> ScoreSet:
    scores = config.scores
    providers = arm.providers or default
    own = providers == default  # what has no owner is meant for the comparison's providers
    options = {
        name: value
        for name, value in scores.options.items()
        if (_owner(name) in (*providers, scores.cache) if _owner(name) else own)
    }
    return ScoreSet(
        providers=providers,
        options=tuple(sorted({**options, **arm.options}.items())),
        model=arm.model or (scores.model if own else None),
        transform=arm.score_transform or scores.transform,
        context_words=scores.context_words if arm.context_words is None else arm.context_words,
        shuffled=arm.shuffled,
        averaged=arm.averaged,
    )


def _owner(option: str) -> str:
    """The plugin that an option names; empty for one without."""
    return option.rpartition(".")[0]
