"""A comparison from its settings to its report, telling by notices how far it is."""

from __future__ import annotations

from collections.abc import Mapping

from llmattn.comparing.arm_scores import Scores
from llmattn.comparing.compare import Progress, compare
from llmattn.comparing.config import CompareConfig
from llmattn.comparing.report import check_report, write_report
from llmattn.comparing.results import Results
from llmattn.comparing.runner import Runner
from llmattn.drawing import can_draw, check_picture
from llmattn.held import hold
from llmattn.notices import notify
from llmattn.wording import counted
from llmattn.writing import make_folder

__all__ = ["carry_out"]


def carry_out(config: CompareConfig, *, command: str) -> Results:
    """Compare, and write the report, which says that ``command`` made it."""
    make_folder(config.experiment.out)
    with hold(config.experiment.out, "--out"):
        return _carry_out(config, command)


def _carry_out(config: CompareConfig, command: str) -> Results:
    runner = Runner(config)
    _check_files(config)
    notify(runner.summary())
    _tell_plan(config)
    _tell_arms(config, runner, runner.prepare())
    told = _Told()
    arms = compare(config, runner, on_progress=told.run)
    told.kept()
    size = runner.test_size()
    about = runner.about(command)
    results = Results(arms, config.against, about, runner.references(size), size)
    pictures = _draw(results, config)
    write_report(results, config.experiment.out, pictures)
    names = ", ".join(("result.json", "report.md", *pictures))
    notify(f"Wrote {names} and the single runs to {config.experiment.out}.")
    return results


def _check_files(config: CompareConfig) -> None:
    """Raise ConfigError unless all files can be written, before anything is paid."""
    folder = config.experiment.out
    check_report(folder)
    if can_draw():
        from llmattn.comparing.plots import PICTURES

        for name in PICTURES:
            check_picture(folder / name, in_folder=True)


def _tell_plan(config: CompareConfig) -> None:
    grid = ", ".join(f"{lr:g}" for lr in config.experiment.rates)
    counts_tried = config.experiment.try_steps or (config.train.steps,)
    steps = " or ".join(f"{count:,}" for count in counts_tried)
    counts = (
        counted(count, what)
        for count, what in ((len(config.arms), "arm"), (config.experiment.seeds, "seed"))
    )
    notify(
        f"{', '.join(counts)}, learning rates {grid}: {counted(config.most_runs, 'run')} of at "
        f"most {steps} steps, {config.jobs} at a time."
    )


def _tell_arms(config: CompareConfig, runner: Runner, scores: Mapping[str, Scores]) -> None:
    width = max(len(arm.name) for arm in config.arms)
    for arm in config.arms:
        line = f"  {arm.name:<{width}}  {runner.parameters(arm):,} parameters"
        if arm.name in scores:
            found = scores[arm.name]
            channels = len(found.channels)
            line += f", {counted(channels, 'channel')} of scores"
            line += f" ({found.coverage:.1%} of the attention)"
        notify(line)


class _Told:
    """A line for each run that is made; those from before are counted together."""

    def __init__(self) -> None:
        self._kept = 0

    def run(self, progress: Progress) -> None:
        if progress.kept:
            self._kept += 1
            return
        self.kept()
        task, run = progress.task, progress.run
        line = f"[{progress.done}/{progress.total}] {task.arm.name}, rate {task.course.lr:g}, "
        line += f"{task.course.steps:,} steps, seed {task.seed}: "
        if run.outcome == "diverged":
            line += "diverged"
        else:
            line += f"validation {run.val_loss:.4f} at step {run.best_step}, "
            line += f"test {run.test_loss:.4f}"
        line += f", {run.seconds:.0f} s"
        if progress.left is not None and progress.done < progress.total:
            line += f"; about {_clock(progress.left)} left"
        notify(line)

    def kept(self) -> None:
        if self._kept:
            notify(f"{counted(self._kept, 'run')} kept from before")
        self._kept = 0


def _clock(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def _draw(results: Results, config: CompareConfig) -> list[str]:
    """Draw the pictures where matplotlib is installed; their names."""
    if not can_draw():
        notify("For pictures: pip install 'llmattn-core[plot]', and run the same command again.")
        return []
    from llmattn.comparing.plots import draw

    return [path.name for path in draw(results, config.experiment.out)]
