"""torch.compile, and what a person should know when it cannot be used."""

from __future__ import annotations

import os
import shutil
from typing import cast

import torch
from torch import nn

from llmattn.errors import ConfigError

__all__ = ["check_compiler", "compile_model"]

_COMPILERS = ("g++", "clang++", "cl")


def compile_model(model: nn.Module) -> nn.Module:
    """A module of the same parameters whose passes are compiled when they are first needed.

    Raises what :func:`check_compiler` raises.
    """
    check_compiler()
    return cast(nn.Module, torch.compile(model))


def check_compiler() -> None:
    """Raise ConfigError on a machine without a C++ compiler: torch needs one even for GPUs."""
    named = os.environ.get("CXX")
    if not any(shutil.which(name) for name in ([named] if named else _COMPILERS)):
        raise ConfigError(
            "--compile needs a C++ compiler, and there is none here: install g++ (Debian: apt "
            "install g++), set CXX to another one, or leave --compile out."
        )
