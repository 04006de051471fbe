"""How to draw from a model. Imports nothing heavy."""

from __future__ import annotations

from attrs import frozen

from llmattn.errors import CheckpointError
from llmattn.options import option
from llmattn.training.config import TrainConfig

__all__ = ["SampleOptions"]


@frozen
class SampleOptions:
    """``temperature`` 0 takes the likeliest word each time; ``top_k`` 0 and ``top_p`` 1 leave
    every word in. A sample ends after ``max_new`` tokens, or ``lines`` lines with that of the
    prompt. Raises ConfigError.
    """

    max_new: int = option(100, help="Most tokens to add.", at_least=1)
    temperature: float = option(
        0.8, help="Higher is wilder; 0 takes the likeliest word.", at_least=0
    )
    top_k: int = option(50, help="Only the k likeliest words; 0 for all.", at_least=0)
    top_p: float = option(
        1.0, help="Only the likeliest words that make up this share.", above=0, at_most=1
    )
    num: int = option(1, help="How many samples.", at_least=1)
    lines: int = option(
        1,
        help="Most lines of a sample, that of the prompt included; above 1 only for a model "
        "trained with --stream.",
        at_least=1,
    )

    def check_training(self, config: TrainConfig) -> None:
        """Raise CheckpointError for lines that a model trained so cannot go on with."""
        if self.lines > 1 and not config.stream:
            raise CheckpointError(
                f"--lines {self.lines} does not fit the checkpoint, whose model was trained on "
                "single lines and has never seen what follows a line end: train with --stream, or "
                f"choose --num {self.lines} for as many lines that each stand alone."
            )
