"""The settings of a training run. Imports nothing heavy."""

from __future__ import annotations

import os
from pathlib import Path

from attrs import frozen

from llmattn.data.config import TextConfig
from llmattn.errors import ConfigError
from llmattn.options import COURSE, MODEL, RUN, option

__all__ = ["Machine", "RunOptions", "TrainConfig"]

_MOST = 10**12
_MOST_PARTS = 1 << 20
"""Of a batch: each is a pass of its own."""


@frozen
class TrainConfig(TextConfig):
    """What decides the course of a run, its text included; a resumed run keeps it.

    ``lr`` is reached after ``warmup`` steps and falls along a cosine to ``min_lr_share`` of
    itself. Raises ConfigError.
    """

    steps: int = option(2000, help="Steps of training.", panel=COURSE, at_least=1, at_most=_MOST)
    batch_size: int = option(
        128,
        help="Lines (with --stream: windows) in a batch, of all processes together.",
        panel=COURSE,
        at_least=1,
        at_most=_MOST,
    )
    grad_accum: int = option(
        1,
        help="Batches whose gradients make up a step.",
        panel=COURSE,
        at_least=1,
        at_most=_MOST_PARTS,
    )
    lr: float = option(3e-3, help="Learning rate.", panel=COURSE, above=0)
    min_lr_share: float = 0.1
    warmup: int = option(
        50, help="Steps until the full learning rate.", panel=COURSE, at_least=0, at_most=_MOST
    )
    weight_decay: float = option(0.1, help="Decay of the matrices.", panel=COURSE, at_least=0)
    grad_clip: float = option(
        1.0, help="A longer gradient is cut to this length.", panel=COURSE, above=0
    )
    eval_every: int = option(
        50, help="Steps between evaluations.", panel=COURSE, at_least=1, at_most=_MOST
    )
    patience: int = option(
        10,
        help="Stop after so many evaluations without a new best; 0 never.",
        panel=COURSE,
        at_least=0,
        at_most=_MOST,
    )
    seed: int = option(
        0, help="The same seed trains the same model.", panel=COURSE, at_least=0, below=1 << 63
    )
    precision: str = option(
        "float32",
        help="One of: float32, bfloat16.",
        panel=COURSE,
        choices=("float32", "bfloat16"),
    )

    def __attrs_post_init__(self) -> None:
        if not 0 <= self.min_lr_share <= 1:
            raise ConfigError(f"min_lr_share must be between 0 and 1, not {self.min_lr_share}.")


@frozen
class Machine:
    """What a command computes on."""

    device: str = option("auto", help="auto, cpu, cuda, cuda:1, mps.", panel=RUN)
    threads: int | None = option(None, help="Threads of the processor.", panel=RUN, at_least=1)

    def use_threads(self) -> None:
        """Let torch use so many; None leaves their number alone. Call it before torch is imported:
        idle threads then sleep instead of spinning.

        Spinning threads starve each other once anything else wants a processor: beside another
        busy process, two threads trained at 900 tokens a second spinning, at 8,000 sleeping.
        """
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        if self.threads is not None:
            import torch

            torch.set_num_threads(self.threads)


@frozen
class RunOptions(Machine):
    """What a run does beside training: it may be another one when it goes on. ``max_time``:
    minutes; ``save_every``: seconds. Raises ConfigError.
    """

    match_params: bool = option(
        False,
        help="Widen the MLP until there are as many parameters as `learned` has.",
        panel=MODEL,
        remembered=True,
    )
    max_time: float | None = option(
        None, help="Stop after so many minutes of training.", panel=COURSE, above=0
    )
    out: Path = option(
        Path("checkpoint.pt"), help="The checkpoint to write.", panel=RUN, written=True
    )
    resume: bool = option(False, help="Go on with the run in --out.", panel=RUN)
    save_every: float = option(
        30.0,
        help="Seconds between checkpoints, which follow evaluations.",
        panel=RUN,
        at_least=0,
    )
    log: Path | None = option(
        None,
        help="Write evaluations to FILE.csv or FILE.jsonl.",
        panel=RUN,
        written=True,
        alias="--log-file",  # torchrun takes --log for one of its own options
    )
    tensorboard: Path | None = option(
        None, help="Write curves for TensorBoard to this folder.", panel=RUN, metavar="DIR"
    )
    compile: bool = option(
        False, help="Compile the model (takes minutes; for long runs and GPUs).", panel=RUN
    )
    shard: bool = option(
        False,
        help="Split the model among torchrun's processes; for one too large for a GPU.",
        panel=RUN,
    )
