"""Where the checkpoint of a run goes: never over another run's, and elsewhere if need be."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import platformdirs
from attrs import define

from llmattn.errors import CheckpointError
from llmattn.feeds.table import ScoreTable
from llmattn.model.config import ModelConfig
from llmattn.model.shapes import parameter_count
from llmattn.notices import notify, warn
from llmattn.training.checkpoint import Checkpoint, check_writable, save_checkpoint
from llmattn.writing import free_names, keep_beside

__all__ = ["Output", "check_space"]

Ask = Callable[[str], Path | None]
"""Asks a person for another place, after telling why; None where nobody answers."""

_NUMBERS = 16
"""Bytes a parameter: the best weights, the last ones, and two of the optimizer's."""
_REST = 1 << 20
"""Bytes of settings; the words come on top."""
_WORD = 64


def check_space(path: Path, config: ModelConfig, table: ScoreTable | None = None) -> None:
    """Raise CheckpointError if the disk of ``path`` has less room than a checkpoint takes."""
    size = _NUMBERS * parameter_count(config) + _WORD * config.vocab_size + _REST
    if table is not None:
        size += sum(array.nbytes for array in (table.known.scores, table.known.query_ids)) * 2
    folder = path.resolve().parent
    free = shutil.disk_usage(folder).free
    if free < size:
        raise CheckpointError(
            f"The checkpoint {path} will take about {size / 1e6:,.0f} MB, and the disk of {folder} "
            f"has {free / 1e6:,.0f} MB left: make room, or name another disk's folder with --out."
        )


@define
class Output:
    """A run's checkpoint. ``path``: where it is, or will be at first; that changes where nothing
    can be written there. ``other``: another run has left its checkpoint there; it is kept beside
    the new one as soon as that is worth more than an untrained model. Until then the new one
    stands beside it.
    """

    path: Path
    other: bool = False
    _named: Path | None = None
    _told: bool = False

    @classmethod
    def of_new_run(cls, path: Path) -> Output:
        """Look at ``path`` before anything is asked or trained. Raises CheckpointError."""
        check_writable(path)
        return cls(path, other=path.exists() and path.stat().st_size > 0)

    def save(self, checkpoint: Checkpoint, ask: Ask | None = None) -> None:
        """Write the checkpoint. Where that fails, another place is asked for, or found: what was
        trained would be lost with the process. Raises CheckpointError if there is none.
        """
        try:
            self._save(checkpoint)
        except CheckpointError as error:
            self._save_elsewhere(checkpoint, error, ask)

    def try_to_save(self, checkpoint: Checkpoint) -> None:
        """Write the checkpoint of a run that goes on; where that fails, it is told once."""
        try:
            self._save(checkpoint)
        except CheckpointError as error:
            if not self._told:
                self._told = True
                warn(f"{error} Training goes on meanwhile; the next checkpoint is tried again.")

    def _save(self, checkpoint: Checkpoint) -> None:
        if not self.other:
            save_checkpoint(self.path, checkpoint)
            return
        named = self._named or self.path
        if not checkpoint.best["step"]:
            beside = next(free_names(named)) if self._named is None else self.path
            save_checkpoint(beside, checkpoint)
            self.path, self._named = beside, named
            return
        try:
            kept = keep_beside(named)
        except OSError as error:
            raise CheckpointError(
                f"The checkpoint of another run in {named} cannot be kept beside the new one "
                f"({error.strerror}): move it away."
            ) from None
        self.other = False
        if kept is not None:
            notify(f"{named} held the checkpoint of another run, which is now {kept}.")
        save_checkpoint(named, checkpoint)
        if self._named is not None:
            self.path.unlink(missing_ok=True)
        self.path = named

    def _save_elsewhere(
        self, checkpoint: Checkpoint, error: CheckpointError, ask: Ask | None
    ) -> None:
        why: CheckpointError | None = error
        while why and ask is not None and (place := ask(str(why))):
            why = self._try(place, checkpoint)
        if why is None:
            return
        for place in _other_places(self.path):
            if self._try(place, checkpoint) is None:
                warn(f"{error}\nSo that nothing is lost, the checkpoint is in {self.path}.")
                return
        raise error

    def _try(self, place: Path, checkpoint: Checkpoint) -> CheckpointError | None:
        """Write the checkpoint to another place, or beside what is there; what was wrong, if any
        thing was.
        """
        try:
            found = next(free_names(place)) if place.exists() else place
            save_checkpoint(found, checkpoint)
        except CheckpointError as error:
            return error
        self.path = found
        return None


def _other_places(path: Path) -> Iterator[Path]:
    """In the user's folder for such things, and in that for temporary ones."""
    for folder in (platformdirs.user_state_path("llmattn", appauthor=False), tempfile.gettempdir()):
        place = Path(folder) / path.name
        try:
            place.parent.mkdir(parents=True, exist_ok=True)
            yield place
        except OSError:
            continue
