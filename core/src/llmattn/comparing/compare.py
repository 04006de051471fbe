"""Runs a comparison: learning rates first, then the seeds; finished runs are never made twice."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack

from attrs import define, frozen

from llmattn.comparing.arms import Arm
from llmattn.comparing.config import CompareConfig
from llmattn.comparing.results import ArmResult
from llmattn.comparing.runner import Runner
from llmattn.comparing.store import FinishedRun, RunStore
from llmattn.comparing.workers import Task, Workers
from llmattn.errors import LlmattnError

__all__ = ["Progress", "compare"]


@frozen
class Progress:
    """A run that is there: the ``done``-th of ``total``.

    ``kept``: it was finished before. ``left``: seconds that the others will take, None while that
    cannot be known.
    """

    task: Task
    run: FinishedRun
    done: int
    total: int
    kept: bool
    left: float | None


@define
class _Pace:
    """Counts runs and how long they take."""

    total: int
    jobs: int
    on_progress: Callable[[Progress], None]
    done: int = 0
    seconds: float = 0.0
    made: int = 0

    def tell(self, task: Task, run: FinishedRun, *, kept: bool) -> None:
        self.done += 1
        if not kept:
            self.made += 1
            self.seconds += run.seconds
        left = None
        if self.made:
            left = (self.total - self.done) * self.seconds / self.made / self.jobs
        self.on_progress(Progress(task, run, self.done, self.total, kept, left))


def compare(
    config: CompareConfig, runner: Runner, *, on_progress: Callable[[Progress], None]
) -> tuple[ArmResult, ...]:
    """Make the runs that are not there yet, keep each at once, and put them together.

    Raises LlmattnError when a run fails; what was finished before is kept.
    """
    store = RunStore(config.experiment.out / "runs")
    pace = _Pace(config.most_runs, config.jobs, on_progress)
    with ExitStack() as stack:
        workers: list[Workers] = []

        def make(tasks: Sequence[Task]) -> dict[Task, FinishedRun]:
            runs: dict[Task, FinishedRun] = {}
            for task in tasks:
                found = store.find(runner.settings(task.arm, task.course, task.seed))
                if found is not None and runner.is_whole(found):
                    runs[task] = found
                    pace.tell(task, found, kept=True)
            missing = [task for task in tasks if task not in runs]
            if missing and config.jobs > 1 and not workers:
                workers.append(stack.enter_context(Workers(config)))
            for task, run in workers[0].run(missing) if workers else _in_turn(runner, missing):
                store.keep(run)
                runs[task] = run
                pace.tell(task, run, kept=False)
            return runs

        tried = make([Task(arm, each, 0) for arm in config.arms for each in config.courses(arm)])
        best = {arm.name: _best(arm, tried) for arm in config.arms}
        others = make(
            [
                Task(arm, best[arm.name].course, seed)
                for arm in config.arms
                for seed in range(1, config.experiment.seeds)
            ]
        )
    results = []
    for arm in config.arms:
        course = best[arm.name].course
        losses = {task.course: run.val_loss for task, run in tried.items() if task.arm is arm}
        made = {t: run for t, run in {**tried, **others}.items() if t.arm is arm}
        runs = {task.seed: run for task, run in made.items() if task.course == course}
        _check(arm, course.lr, runs)
        spent = sum(run.seconds for run in made.values())
        results.append(ArmResult(arm, course, losses, runs, spent))
    return tuple(results)


def _in_turn(runner: Runner, tasks: Iterable[Task]) -> Iterator[tuple[Task, FinishedRun]]:
    for task in tasks:
        yield task, runner.train(task.arm, task.course, task.seed)


def _best(arm: Arm, tried: Mapping[Task, FinishedRun]) -> Task:
    """The task of the course with the lowest validation loss."""
    own = [task for task in tried if task.arm is arm]
    return min(own, key=lambda task: tried[task].val_loss)


def _check(arm: Arm, lr: float, runs: Mapping[int, FinishedRun]) -> None:
    """Raise LlmattnError if a run at the chosen rate lost its numbers."""
    for seed, run in runs.items():
        if not math.isfinite(run.test_loss):
            raise LlmattnError(
                f"The arm {arm.name!r} has no loss at the learning rate {lr:g} and seed {seed}: it "
                "diverged. Give smaller rates with --lrs."
            )
