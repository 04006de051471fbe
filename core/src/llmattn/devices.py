"""Which device a model runs on."""

from __future__ import annotations

import os

import torch

from llmattn.errors import ConfigError

__all__ = ["choose_device", "cores"]


def choose_device(name: str) -> torch.device:
    """``auto`` is a GPU if there is one, else the processor; other names are torch's.

    Raises ConfigError for a device that this machine or this torch does not have.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).add(1)
    except (RuntimeError, AssertionError, NotImplementedError):
        here = ["cpu"]
        here += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        here += ["mps"] if torch.backends.mps.is_available() else []
        raise ConfigError(
            f"There is no device {name!r} for this torch; --device may be: {', '.join(here)}."
        ) from None
    if device.type == "meta":
        raise ConfigError("The device 'meta' holds no numbers; choose cpu or a GPU.")
    return device


def cores() -> int:
    """How many cores of the processor this process may use."""
    allowed = getattr(os, "sched_getaffinity", None)  # where the system has it
    return len(allowed(0)) if allowed else os.cpu_count() or 1
