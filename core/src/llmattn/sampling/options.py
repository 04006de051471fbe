"""How to draw from a model. Light: imports no torch."""

from __future__ import annotations

from attrs import frozen

from llmattn.errors import CheckpointError, ConfigError
from llmattn.training.config import TrainConfig

__all__ = ["SampleOptions"]


@frozen
class SampleOptions:
    """``temperature`` 0 takes the likeliest word each time; ``top_k`` 0 and ``top_p`` 1 leave
    every word in. A sample ends after ``max_new`` tokens, or ``lines`` lines with that of the
    prompt. Raises ConfigError.
    """

    max_new: int = 100
    temperature: float = 0.8
    top_k: int = 50
    top_p: float = 1.0
    num: int = 1
    lines: int = 1

    def __attrs_post_init__(self) -> None:
        self._need("max_new", self.max_new >= 1, "at least 1")
        self._need("temperature", self.temperature >= 0, "0 or more")
        self._need("top_k", self.top_k >= 0, "0 (all words) or more")
        self._need("top_p", 0 < self.top_p <= 1, "above 0 and at most 1")
        self._need("num", self.num >= 1, "at least 1")
        self._need("lines", self.lines >= 1, "at least 1")

    def check_training(self, config: TrainConfig) -> None:
        """Raise CheckpointError for lines that a model trained so cannot go on with."""
        if self.lines > 1 and not config.stream:
            raise CheckpointError(
                f"--lines {self.lines} does not fit the checkpoint, whose model was trained on "
                "single lines and has never seen what follows a line end: train with --stream, or "
                f"choose --num {self.lines} for as many lines that each stand alone."
            )

    def _need(self, name: str, holds: bool, what: str) -> None:
        if not holds:
            option = name.replace("_", "-")
            raise ConfigError(f"--{option} must be {what}, not {getattr(self, name)}.")
