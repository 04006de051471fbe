"""Evaluations as curves for TensorBoard, by the extra ``tensorboard``."""

from __future__ import annotations

from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

from llmattn.errors import ConfigError
from llmattn.notices import warn_once
from llmattn.training.history import Report
from llmattn.writing import make_folder

__all__ = ["Board", "check_board"]


def check_board(folder: Path) -> Any:
    """The package that writes; ConfigError if it is missing, or ``folder`` cannot be made."""
    try:
        module = import_module("tensorboardX")
    except ImportError:
        raise ConfigError(
            "--tensorboard needs tensorboardX: pip install 'llmattn-core[tensorboard]'"
        ) from None
    make_folder(folder, "--tensorboard")
    return module


class Board:
    """Writes reports to event files in ``folder``.

    ``after``: the step that the run goes on from; what the files hold of later steps is hidden.
    Raises ConfigError if the extra is not installed or the folder cannot be written.
    """

    def __init__(self, folder: Path, *, after: int = 0) -> None:
        module = check_board(folder)
        try:
            self._writer = module.SummaryWriter(
                str(folder),
                purge_step=after + 1 if after else 0,
                filename_suffix=f".{after}",  # names tell whole seconds apart, and no less
            )
        except OSError as error:
            raise ConfigError(
                f"--tensorboard {folder} cannot be written ({error.strerror}): name another folder."
            ) from None
        self._last: Report | None = None

    def add(self, report: Report) -> None:
        """Add a point to each curve."""
        curves = report.metrics()
        if self._last is not None and report.train_seconds > self._last.train_seconds:
            passed = report.train_seconds - self._last.train_seconds
            curves["tokens_a_second"] = (report.tokens - self._last.tokens) / passed
        self._last = report
        try:
            for name, value in curves.items():
                self._writer.add_scalar(name, value, report.step)
            self._writer.flush()
        except OSError as error:
            warn_once(
                f"--tensorboard cannot be written ({error.strerror or error}); training goes on."
            )

    def close(self) -> None:
        """Write what is left, and stop the writer's thread."""
        with suppress(OSError):  # told before
            self._writer.close()
