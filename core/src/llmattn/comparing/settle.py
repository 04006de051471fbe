"""A comparison as it will be made, of what a user says of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from attrs import evolve

from llmattn.comparing.arms import Arm
from llmattn.comparing.choose_arms import choose_arms
from llmattn.comparing.config import BASELINES, CompareConfig, Experiment
from llmattn.comparing.score_sets import why_unread
from llmattn.model.config import ModelConfig
from llmattn.options import Refuses
from llmattn.scoring.options import ScoreChoice
from llmattn.training.config import ImitationOptions, TrainConfig

__all__ = ["refuse_unread", "settle"]


def settle(
    corpus: Path,
    experiment: Experiment,
    train: TrainConfig,
    model: ModelConfig,
    scores: ScoreChoice,
    tables: Mapping[str, Any],
    imitation: ImitationOptions = ImitationOptions(),
) -> CompareConfig:
    """``tables``: the arms of a configuration file. Raises ConfigError or PluginError."""
    if experiment.try_steps:
        train = evolve(train, steps=max(experiment.try_steps))
    arms = choose_arms(experiment.arms, tables, scores)
    against = experiment.against
    if against is None:
        names = [arm.name for arm in arms]
        against = tuple(name for name in BASELINES if name in names)
    return CompareConfig(
        corpus=corpus,
        arms=arms,
        train=train,
        model=model,
        scores=scores,
        experiment=experiment,
        imitation=imitation,
        against=against,
        jobs=experiment.jobs or _jobs(experiment, arms, model, scores),
    )


def refuse_unread(config: CompareConfig, given: Refuses) -> None:
    """Raise ConfigError for what the user said and no arm reads."""
    if not any(arm.imitates for arm in config.arms):
        given.refuse(
            ImitationOptions,
            lambda _: "is for arms that imitate, such as transfer, and there is none.",
            chooser="arms",
        )
    given.refuse(
        ScoreChoice,
        lambda said: why_unread(said.name, config.arms, config.scores),
        chooser="arms",
    )


def _jobs(
    experiment: Experiment, arms: Sequence[Arm], model: ModelConfig, scores: ScoreChoice
) -> int:
    """How many runs at once are fastest: products of a small model do not fill two threads."""
    widest = max(arm.shape.get("n_embd", model.n_embd) for arm in arms)
    if widest > 128 or scores.cache == "memory":
        return 1
    from llmattn.devices import choose_device, cores

    if choose_device(experiment.device).type != "cpu":
        return 1
    return min(experiment.threads or cores(), 4)
