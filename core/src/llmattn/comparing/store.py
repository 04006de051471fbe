"""Finished runs on disk, one JSON file each, found again by a hash of their settings."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs
from attrs import frozen

from llmattn.errors import ConfigError
from llmattn.notices import notify

__all__ = ["FinishedRun", "RunStore", "make_folder", "settings_key"]


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


def make_folder(folder: Path) -> None:
    """Make a folder below --out. Raises ConfigError if it cannot be made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"--out: the folder {folder} cannot be made ({error.strerror}); name another."
        ) from None


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
            data = json.loads(path.read_text(encoding="utf-8"))
            run = FinishedRun(
                **{**data, "curve": tuple((int(s), t, float(v)) for s, t, v in data["curve"])}
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError) as error:
            notify(f"{path} cannot be read ({type(error).__name__}); this run is made anew.")
            return None
        return run if run.key == path.stem else None

    def keep(self, run: FinishedRun) -> None:
        """Write a run in one piece: a reader finds the whole file or none."""
        path = self.path(run.settings)
        # The process in the name: two that finish the same run do not write into one file.
        beside = path.with_suffix(f".{os.getpid()}.tmp")
        try:
            beside.write_text(json.dumps(attrs.asdict(run), indent=1) + "\n", encoding="utf-8")
            os.replace(beside, path)
        except OSError as error:
            raise ConfigError(
                f"The finished run cannot be written to {path} ({error.strerror}): make room, or "
                "name another folder with --out."
            ) from None
