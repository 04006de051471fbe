"""The work of making runs, for processes of this machine and for those elsewhere."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from attrs import evolve, field, frozen

from llmattn.comparing.arm_scores import Scores
from llmattn.comparing.arms import Arm
from llmattn.comparing.config import CompareConfig, Course
from llmattn.comparing.score_sets import ScoreSet
from llmattn.comparing.store import FinishedRun
from llmattn.data.corpus import Corpus
from llmattn.feeds.feed import Feeds
from llmattn.feeds.packed import PackedScores, from_file
from llmattn.training.word_vectors import WordStart
from llmattn.unfinished import process_folder

__all__ = ["Given", "Made", "Making", "Task"]

MOST_SENT = 1 << 28
"""Bytes of scores in context that are sent along; larger files are read on a shared disk."""


@frozen(eq=False)
class Task:
    """One run to make."""

    arm: Arm
    course: Course
    seed: int

    @property
    def plain(self) -> Task:
        """The same without what the arm says of providers, be it a key: runs need nothing of it."""
        return evolve(self, arm=evolve(self.arm, options={}))


@frozen(eq=False)
class Made:
    """A run, and the file of its model where that was asked for and lies elsewhere."""

    run: FinishedRun
    checkpoint: bytes | None = None


@frozen(eq=False)
class Given:
    """What a process elsewhere is given, since it has neither the text nor the cache: of some arms
    the scores, in place of where these come from. ``sets``: by the names of arms and of the models
    that they imitate; each choice in it is no more than a number.
    """

    corpus: Corpus
    sets: Mapping[str, ScoreSet]
    scores: Mapping[ScoreSet, tuple[Scores, Feeds]]
    starts: Mapping[tuple[str, int], WordStart]


@frozen(eq=False)
class Making:
    """The work of making runs of a comparison; its items are tasks, their results ``Made``.

    ``given``: None in a process of this machine, which reads text and cache for itself.
    """

    config: CompareConfig
    given: Given | None = None
    alone: bool = field(default=True, init=False)

    def begin(self) -> Callable[[Task], Made]:
        """See ``Work.begin``."""
        from llmattn.comparing.runner import Runner

        config = self.config
        if self.given is not None:
            folder = process_folder() / "comparison"
            config = evolve(config, experiment=evolve(config.experiment, out=folder))
        return partial(_make, Runner(config, alone=False, given=self.given), self.given is not None)

    def __reduce__(self) -> tuple[Any, ...]:
        return _read, (_written((self.config, self.given), sends=self.given is not None),)


def _make(runner: Any, elsewhere: bool, task: Task) -> Made:
    run = runner.train(task.arm, task.course, task.seed)
    path: Path | None = runner.kept_checkpoint(run) if elsewhere else None
    if path is None:
        return Made(run)
    content = path.read_bytes()
    path.unlink()
    return Made(run, content)


def _read(pickled: bytes) -> Making:
    return Making(*pickle.loads(pickled))  # noqa: S301  (of the caller, who is trusted)


def _written(content: object, *, sends: bool) -> bytes:
    file = io.BytesIO()
    (_Sending if sends else pickle.Pickler)(file).dump(content)
    return file.getvalue()


class _Sending(pickle.Pickler):
    """Pickles scores in context as what their files hold, where they are not too large."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._left = MOST_SENT

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, PackedScores) and value.path.stat().st_size <= self._left:
            content = value.as_file()
            self._left -= len(content)
            return _unpacked, (content, value.path.name)
        return NotImplemented


_kept: dict[str, PackedScores] = {}


def _unpacked(content: bytes, name: str) -> PackedScores:
    """Arms that read the same scores share one file: its name is a hash of what they are."""
    if name not in _kept:
        _kept[name] = from_file(content, process_folder() / name)
    return _kept[name]
