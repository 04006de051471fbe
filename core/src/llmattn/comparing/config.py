"""The settings of a comparison. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from attrs.converters import optional

from llmattn.comparing.arms import ARMS, Arm
from llmattn.errors import ConfigError
from llmattn.model.config import ModelConfig
from llmattn.options import EXPERIMENT, RUN, TEXT, comma_separated, option
from llmattn.scoring.options import ScoreChoice
from llmattn.training.config import Machine, TrainConfig

__all__ = ["BASELINES", "SHARED", "CompareConfig", "Experiment"]

BASELINES = ("position", "position/per-layer", "learned+b")
"""What arms are held against, if it is compared: the distance alone, also in each layer by itself,
and attention that is learned with it.
"""

SHARED = ("block_size", "n_layer", "n_head", "n_embd", "dropout")
"""Options of the model that all arms share, but for those that say otherwise."""


def _rates(given: Any) -> tuple[float, ...]:
    try:
        rates = tuple(map(float, comma_separated(given)))
    except ValueError:
        raise ConfigError(
            f"--lrs {given}: write learning rates with commas between, such as 1e-3,3e-3,6e-3."
        ) from None
    if not rates or not all(rate > 0 for rate in rates) or len(set(rates)) < len(rates):
        raise ConfigError("--lrs takes different learning rates above 0, such as 1e-3,3e-3,6e-3.")
    return rates


@frozen
class Experiment(Machine):
    """What a user says of a comparison. None: it follows from the rest. Raises ConfigError."""

    out: Path = option(
        Path("comparison"), help="Folder for the runs and the report.", panel=EXPERIMENT
    )
    arms: tuple[str, ...] = option(
        (),
        help="What is compared (see docs/comparing.md), separated by commas, of: "
        f"{', '.join(ARMS)}. external:NAME+NAME names providers; an ending changes one thing: "
        "external/no-b, external/per-layer, external/shuffled, external/averaged. Default: "
        "--provider beside the controls of its scores (of pairs, or in context), or what "
        "--config defines beside position and learned+b.",
        panel=EXPERIMENT,
        metavar="NAMES",
        converter=comma_separated,
    )
    seeds: int = option(
        5, help="Runs of each arm; fewer than 3 prove nothing.", panel=EXPERIMENT, at_least=1
    )
    lrs: tuple[float, ...] = option(
        (1e-3, 3e-3, 6e-3, 1.2e-2),
        help="Learning rates that each arm chooses from, by validation loss, with commas between: "
        "1e-3,3e-3.",
        panel=EXPERIMENT,
        metavar="RATES",
        converter=_rates,
    )
    lr: float | None = option(
        None,
        help="One learning rate for all, instead of --lrs.",
        panel=EXPERIMENT,
        above=0,
        instead_of="lrs",
    )
    against: tuple[str, ...] | None = option(
        None,
        help="Arms that the others are held against. Default: "
        f"{', '.join(BASELINES)}, where they are among the arms.",
        panel=EXPERIMENT,
        metavar="NAMES",
        converter=optional(comma_separated),
    )
    match_params: bool = option(
        True,
        help="Widen the MLP until each arm has the parameters of `learned`.",
        panel=EXPERIMENT,
    )
    limit_words: int | None = option(
        None, help="Use the first so many words only.", panel=TEXT, at_least=1
    )
    jobs: int | None = option(
        None,
        help="Runs at once, each a process, which share out --threads. Default: on the processor "
        "as many as it has cores, up to 4, if the model is too small to keep them all busy; else "
        "1.",
        panel=RUN,
        at_least=1,
    )
    keep_checkpoints: bool = option(False, help="Keep each run's model.", panel=RUN)

    @property
    def rates(self) -> tuple[float, ...]:
        """The learning rates that an arm without one of its own chooses from."""
        return self.lrs if self.lr is None else (self.lr,)


@frozen
class CompareConfig:
    """What is compared, and how. Raises ConfigError.

    ``train``: the course of every run, but for learning rate and seed. ``model``: what all arms
    share of it; a model for any text, see ``ModelConfig.from_options``. ``against``: the
    baselines, names of arms. ``jobs``: processes.
    """

    corpus: Path
    arms: tuple[Arm, ...]
    train: TrainConfig
    model: ModelConfig
    scores: ScoreChoice = ScoreChoice()
    experiment: Experiment = Experiment()
    against: tuple[str, ...] = ()
    jobs: int = 1

    def __attrs_post_init__(self) -> None:
        names = [arm.name for arm in self.arms]
        for name in self.against:
            if name not in names:
                raise ConfigError(
                    f"--against {name}: there is no such arm in this comparison; its arms are "
                    f"{', '.join(names)}."
                )
        if self.jobs > 1 and self.scores.cache == "memory":
            raise ConfigError(
                "--cache memory belongs to one process: use --jobs 1, or a cache that processes "
                "share."
            )
        for arm in self.arms:
            self.model_of(arm)

    def model_of(self, arm: Arm) -> ModelConfig:
        """The model of an arm, for any text. Raises ConfigError if its parts do not fit."""
        shape: Mapping[str, Any] = {"attention": "external", **arm.shape}
        try:
            return evolve(self.model, **shape)
        except (ConfigError, TypeError) as error:
            raise ConfigError(f"The arm {arm.name!r}: {error}") from None

    def rates(self, arm: Arm) -> tuple[float, ...]:
        """The learning rates that an arm tries."""
        return self.experiment.rates if arm.lr is None else (arm.lr,)

    @property
    def most_runs(self) -> int:
        """How many runs it takes if none is kept from before."""
        return sum(len(self.rates(arm)) + self.experiment.seeds - 1 for arm in self.arms)
