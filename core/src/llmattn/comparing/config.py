"""The settings of a comparison. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import evolve, frozen
from attrs.converters import optional

from llmattn.comparing.arms import ARMS, Arm
from llmattn.errors import ConfigError
from llmattn.executors.settings import LOCAL
from llmattn.model.config import ModelConfig
from llmattn.options import EXPERIMENT, RUN, TEXT, comma_separated, option
from llmattn.scoring.options import ScoreChoice
from llmattn.training.config import ImitationOptions, Machine, TrainConfig

__all__ = [
    "BASELINES",
    "COURSE_DEFAULTS",
    "LINES",
    "MODEL_DEFAULTS",
    "OWN_COURSE",
    "SHARED",
    "WINDOWS",
    "CompareConfig",
    "Course",
    "Experiment",
    "with_batches",
]

BASELINES = ("position", "position/per-layer", "learned+b")
"""What arms are held against, if it is compared: the distance alone, also in each layer by itself,
and attention that is learned with it.
"""

SHARED = ("block_size", "n_layer", "n_head", "n_embd", "dropout")
"""Options of the model that all arms share, but for those that say otherwise."""

OWN_COURSE = ("grad_accum", "lr", "seed")
"""Options of training that a comparison settles for each run."""

COURSE_DEFAULTS: Mapping[str, Any] = {"steps": 800, "patience": 5, "test_fraction": 0.1}
MODEL_DEFAULTS: Mapping[str, Any] = {"n_embd": 64}
LINES, WINDOWS = 128, 16
"""In a batch, unless the user says otherwise: about as many tokens, where a line has ten."""


def with_batches(course: TrainConfig) -> TrainConfig:
    """``course`` with the size of batches that nobody has stated."""
    return evolve(course, batch_size=WINDOWS if course.stream else LINES)


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


def _counts(given: Any) -> tuple[int, ...]:
    try:
        counts = tuple(map(int, comma_separated(given)))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1 or len(set(counts)) < len(counts):
        raise ConfigError(
            f"--try-steps {given}: write different numbers of steps with commas between, such as "
            "400,700."
        )
    return counts


@frozen
class Course:
    """How a run is trained, as far as an arm chooses it: its learning rate, and its steps, along
    which the rate falls.
    """

    lr: float
    steps: int


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
        "external/no-b, external/per-layer, external/shuffled, external/averaged, "
        "learned+b/vectors. Default: "
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
    try_steps: tuple[int, ...] | None = option(
        None,
        help="Numbers of steps that each arm chooses from as well, by validation loss, each with "
        "each learning rate, instead of --steps.",
        panel=EXPERIMENT,
        metavar="STEPS",
        converter=optional(_counts),
        instead_of="steps",
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
        "1. With another executor than local: no limit, and each run has --threads for itself, 1 "
        "by default.",
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
    imitation: ImitationOptions = ImitationOptions()
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
        if self.jobs > 1 and self.scores.cache == "memory" and not self.elsewhere:
            raise ConfigError(
                "--cache memory belongs to one process: use --jobs 1, or a cache that processes "
                "share."
            )
        for arm in self.arms:
            self.model_of(arm)
            if arm.imitates:
                self.model_of(arm.imitated)

    @property
    def elsewhere(self) -> bool:
        """Whether runs are made by an executor that was named."""
        return self.scores.executor != LOCAL

    def model_of(self, arm: Arm) -> ModelConfig:
        """The model of an arm, for any text. Raises ConfigError if its parts do not fit."""
        shape: Mapping[str, Any] = {"attention": "external", **arm.shape}
        try:
            return evolve(self.model, **shape)
        except (ConfigError, TypeError) as error:
            raise ConfigError(f"The arm {arm.name!r}: {error}") from None

    def courses(self, arm: Arm) -> tuple[Course, ...]:
        """The courses that an arm tries: as many as any other, but for what it fixes itself."""
        said = self.experiment
        rates = said.rates if arm.lr is None else (arm.lr,)
        counts = said.try_steps or (self.train.steps,) if arm.steps is None else (arm.steps,)
        return tuple(Course(lr, steps) for lr in rates for steps in counts)

    def course_of(self, course: Course, seed: int) -> TrainConfig:
        """All of a run's course."""
        return evolve(self.train, lr=course.lr, steps=course.steps, seed=seed)

    @property
    def most_runs(self) -> int:
        """How many runs it takes if none is kept from before."""
        return sum(len(self.courses(arm)) + self.experiment.seeds - 1 for arm in self.arms)
