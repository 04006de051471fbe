"""Finished runs on disk, one JSON file each, found again by a hash of their settings."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from llmattn.notices import warn
from llmattn.untrusted import WRONG_DATA, build, read_json
from llmattn.writing import Kind, make_folder, written

__all__ = ["FinishedRun", "RunStore", "checked_run", "settings_key"]

_RUN = Kind("a finished run", None, in_folder=True)


@frozen
class FinishedRun:
    """What one run came to. Losses are nats a token.

    ``settings``: everything that the result depends on, as plain data; ``place``: what it should
    not depend on (versions, device, threads). ``test_loss`` is that of the weights with the
    best ``val_loss``, reached at ``best_step``. ``curve``: step, mean training loss since the
    evaluation before (None at step 0), validation loss. ``seconds``: of training with its
    evaluations.
    """

    settings: Mapping[str, Any]
    place: Mapping[str, Any]
    test_loss: float
    val_loss: float
    best_step: int
    outcome: str
    tokens: int
    seconds: float
    parameters: int
    curve: tuple[tuple[int, float | None, float], ...]

    @property
    def key(self) -> str:
        """The hash of the settings."""
        return settings_key(self.settings)


def settings_key(settings: Mapping[str, Any]) -> str:
    """24 hexadecimal digits of the SHA-256 of the settings' canonical JSON."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:24]


class RunStore:
    """The folder of finished runs. Several processes may write to it."""

    def __init__(self, folder: Path) -> None:
        """Raises ConfigError if the folder cannot be made."""
        make_folder(folder)
        self.folder = folder

    def path(self, settings: Mapping[str, Any]) -> Path:
        """Where the run with these settings lies or will lie."""
        return self.folder / f"{settings_key(settings)}.json"

    def find(self, settings: Mapping[str, Any]) -> FinishedRun | None:
        """The finished run with exactly these settings, or None. A damaged file counts as none."""
        path = self.path(settings)
        try:
            return _checked(read_json(path, finite=False), settings)
        except FileNotFoundError:
            return None
        except (OSError, *WRONG_DATA) as error:
            reason = getattr(error, "strerror", None) or error
            warn(f"{path} is damaged ({reason}); this run is made anew.")
            return None

    def keep(self, run: FinishedRun) -> None:
        """Write a run in one piece: a reader finds the whole file or none."""
        data = attrs.asdict(run)
        text = json.dumps({**data, "checksum": _checksum(data)}, indent=1)
        with written(self.path(run.settings), _RUN, "--out") as file:
            file.write(f"{text}\n".encode())


def _checksum(data: Mapping[str, Any]) -> str:
    """Of a run as JSON reads it back: an edited loss must not pass for one that was reached."""
    return settings_key({name: value for name, value in data.items() if name != "checksum"})


def _checked(data: Any, settings: Mapping[str, Any]) -> FinishedRun:
    """The run with these settings. Raises ValueError, TypeError or LookupError for any other."""
    if data["checksum"] != _checksum(data):
        raise ValueError("it is not as it was written")
    run = checked_run({name: value for name, value in data.items() if name != "checksum"})
    if run.settings != settings:
        raise ValueError("it is a run with other settings")
    return run


def checked_run(data: Mapping[str, Any]) -> FinishedRun:
    """A run from plain values. Raises ValueError, TypeError or LookupError if they are none."""
    curve = tuple(_point(*point) for point in data["curve"])
    run = build(FinishedRun, {**data, "curve": curve}, finite=False)
    numbers = (run.parameters, run.tokens, run.seconds, run.best_step)
    if not all(0 <= number < math.inf for number in numbers):
        raise ValueError("a number of it is none")
    if run.outcome == "diverged":
        return run
    steps = [step for step, _, _ in curve]
    if run.best_step not in steps or steps != sorted({*steps}):
        raise ValueError("its curve is none")
    if not all(math.isfinite(loss) for loss in (run.test_loss, run.val_loss)):
        raise ValueError("it has no loss")
    return run


def _point(step: Any, train_loss: Any, val_loss: Any) -> tuple[int, float | None, float]:
    """A point of a curve. Raises ValueError or TypeError."""
    losses = [val_loss] if train_loss is None else [train_loss, val_loss]
    if type(step) is not int or not all(type(loss) is float for loss in losses):
        raise TypeError("its curve is none")
    if step < 0 or not all(map(math.isfinite, losses)):
        raise ValueError("its curve is none")
    return step, train_loss, val_loss
