"""The settings of a comparison. Light: imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from llmattn.comparing.arms import Arm
from llmattn.errors import ConfigError
from llmattn.model.config import ModelConfig
from llmattn.training.choice import ScoreChoice
from llmattn.training.config import TrainConfig

__all__ = ["BASELINES", "RATES", "CompareConfig"]

RATES = (1e-3, 3e-3, 6e-3, 1.2e-2)
"""The learning rates that an arm chooses from, unless told otherwise."""

BASELINES = ("position", "position/per-layer", "learned+b")
"""What arms are held against, if it is compared: the distance alone, also in each layer by itself,
and attention that is learned with it.
"""


@frozen
class CompareConfig:
    """What is compared, and how. Raises ConfigError.

    ``train``: the course of every run, but for learning rate and seed. ``shape``: fields of
    ModelConfig that all arms share. ``lrs``: the grid that each arm chooses its rate from, by
    the validation loss of the first seed. ``against``: the baselines, names of arms.
    ``limit_words``: use only the first so many words of the text. ``match_params``: widen the
    MLP until every arm has the parameters of learned attention, within 1%. ``jobs``: processes.
    """

    corpus: Path
    out: Path
    arms: tuple[Arm, ...]
    train: TrainConfig
    shape: Mapping[str, Any]
    scores: ScoreChoice = field(factory=ScoreChoice)
    seeds: int = 5
    lrs: tuple[float, ...] = RATES
    against: tuple[str, ...] = ()
    limit_words: int | None = None
    match_params: bool = True
    device: str = "auto"
    jobs: int = 1
    threads: int | None = None
    keep_checkpoints: bool = False

    def __attrs_post_init__(self) -> None:
        for name in ("seeds", "jobs"):
            if getattr(self, name) < 1:
                raise ConfigError(f"--{name} must be at least 1, not {getattr(self, name)}.")
        if not self.lrs or min(self.lrs) <= 0 or len(set(self.lrs)) < len(self.lrs):
            raise ConfigError(
                "--lrs takes different learning rates above 0, such as 1e-3,3e-3,6e-3."
            )
        if self.limit_words is not None and self.limit_words < 1:
            raise ConfigError(f"--limit-words must be at least 1, not {self.limit_words}.")
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
            self._check_shape(arm)

    def _check_shape(self, arm: Arm) -> None:
        try:
            ModelConfig(vocab_size=2, channels=("any",), **self.shape_of(arm))
        except (ConfigError, TypeError) as error:
            raise ConfigError(f"The arm {arm.name!r}: {error}") from None

    def shape_of(self, arm: Arm) -> dict[str, Any]:
        """Fields of ModelConfig for an arm, but for its vocabulary and channels."""
        return {**self.shape, "attention": "external", **arm.shape}

    def rates(self, arm: Arm) -> tuple[float, ...]:
        """The learning rates that an arm tries."""
        return self.lrs if arm.lr is None else (arm.lr,)

    @property
    def most_runs(self) -> int:
        """How many runs it takes if none is kept from before."""
        return sum(len(self.rates(arm)) + self.seeds - 1 for arm in self.arms)
