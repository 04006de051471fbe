"""Where the evaluations of a run are written as it goes."""

from __future__ import annotations

from llmattn.training.board import Board
from llmattn.training.config import RunOptions
from llmattn.training.log import TrainingLog

__all__ = ["open_records"]


def open_records(options: RunOptions, *, after: int) -> list[TrainingLog | Board]:
    """What ``options`` name; ``after``: the step that the run goes on from."""
    records: list[TrainingLog | Board] = []
    if options.log is not None:
        records.append(TrainingLog(options.log, after=after))
    if options.tensorboard is not None:
        records.append(Board(options.tensorboard, after=after))
    return records
