"""The settings of a training run. Light: imports no torch."""

from __future__ import annotations

import math

import attrs
from attrs import frozen

from llmattn.errors import ConfigError

__all__ = ["PRECISIONS", "TrainConfig"]

_MOST = 10**12
_MOST_PARTS = 1 << 20
"""Of a batch: each is a pass of its own."""

PRECISIONS = ("float32", "bfloat16")


@frozen
class TrainConfig:
    """What decides the course of a run; a resumed run keeps it.

    ``batch_size``: lines a step (times ``grad_accum``). ``lr`` is reached after
    ``warmup`` steps and falls along a cosine to ``min_lr_share`` of itself. ``patience``:
    evaluations without a new best before the run stops; 0 for never. ``vocab_size``: how many
    tokens the tokenizer ``bpe`` has. Raises ConfigError.
    """

    steps: int = 2000
    batch_size: int = 128
    grad_accum: int = 1
    lr: float = 3e-3
    min_lr_share: float = 0.1
    warmup: int = 50
    weight_decay: float = 0.1
    grad_clip: float = 1.0
    seed: int = 0
    eval_every: int = 50
    patience: int = 0
    precision: str = "float32"
    val_fraction: float = 0.1
    test_fraction: float = 0.0
    stream: bool = False
    min_count: int = 1
    tokenizer: str = "words"
    vocab_size: int = 4096

    def __attrs_post_init__(self) -> None:
        for name in ("steps", "batch_size", "eval_every", "min_count", "vocab_size"):
            self._need(name, 1 <= getattr(self, name) <= _MOST, f"1 to {_MOST:,}")
        self._need("grad_accum", 1 <= self.grad_accum <= _MOST_PARTS, f"1 to {_MOST_PARTS:,}")
        for name in ("warmup", "patience"):
            self._need(name, 0 <= getattr(self, name) <= _MOST, f"0 to {_MOST:,}")
        self._need("seed", 0 <= self.seed < 1 << 63, "0 or more, and below 2^63")
        self._need("weight_decay", 0 <= self.weight_decay < math.inf, "0 or more")
        for name in ("lr", "grad_clip"):
            self._need(name, 0 < getattr(self, name) < math.inf, "above 0")
        self._need("min_lr_share", 0 <= self.min_lr_share <= 1, "between 0 and 1")
        self._need("test_fraction", 0 <= self.test_fraction < 1, "at least 0 and below 1")
        self._need("val_fraction", 0 < self.val_fraction < 1, "between 0 and 1")
        self._need("precision", self.precision in PRECISIONS, f"one of {', '.join(PRECISIONS)}")

    def _need(self, name: str, holds: bool, what: str) -> None:
        if not holds:
            option = name.replace("_", "-")
            raise ConfigError(f"--{option} must be {what}, not {getattr(self, name)}.")

    def contradictions(self, other: TrainConfig) -> list[str]:
        """Names of the settings in which ``other`` differs."""
        return [
            field.name
            for field in attrs.fields(TrainConfig)
            if getattr(self, field.name) != getattr(other, field.name)
        ]
