"""What a run needs beside its scores, looked at before any of them is paid for."""

from __future__ import annotations

import torch

from llmattn.errors import ConfigError
from llmattn.training.board import check_board
from llmattn.training.compiling import check_compiler
from llmattn.training.config import RunOptions

__all__ = ["check_precision", "check_ready"]


def check_ready(options: RunOptions, device: torch.device, precision: str) -> None:
    """Raise ConfigError for what would end the run only once the scores are there."""
    if options.tensorboard is not None:
        check_board(options.tensorboard)
    if options.compile:
        check_compiler()
    check_precision(device, precision)


def check_precision(device: torch.device, precision: str) -> None:
    """Raise ConfigError if ``device`` cannot compute in ``precision``."""
    if precision == "float32":
        return
    try:
        some = torch.ones(2, 2, device=device, dtype=getattr(torch, precision))
        (some @ some).sum().item()
    except (RuntimeError, TypeError):
        raise ConfigError(
            f"--precision {precision}: the device {str(device)!r} does not compute in it; leave "
            "it out, or choose another --device."
        ) from None
