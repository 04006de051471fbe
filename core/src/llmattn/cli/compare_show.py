"""How a comparison is shown: what it will do, a line a run, the table and what follows from it."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box

from llmattn.cli.output import echo
from llmattn.comparing.bench import Bench
from llmattn.comparing.compare import Progress, compare
from llmattn.comparing.config import CompareConfig
from llmattn.comparing.report import as_json, check_report, legend, table, write_report
from llmattn.comparing.results import Results
from llmattn.comparing.shelf import Scores
from llmattn.console import Table, make_console
from llmattn.drawing import can_draw, check_picture
from llmattn.notices import notify
from llmattn.wording import counted
from llmattn.writing import make_folder

__all__ = ["run_and_show"]

_LEFT_OUT = ("parameters", "bits a byte", "seconds")
"""Columns that a narrow terminal has no room for."""


def run_and_show(config: CompareConfig, *, command: str, json: bool) -> Results:
    """Compare, telling on stderr how far it is; the result goes to stdout and to files."""
    bench = Bench(config)
    _check_files(config)
    notify(bench.summary())
    _show_plan(config)
    _show_arms(config, bench, bench.prepare())
    shown = _Shown()
    arms = compare(config, bench, on_progress=shown.run)
    shown.kept()
    size = bench.test_size()
    about = bench.about(command)
    results = Results(arms, config.against, about, bench.references(size), size)
    pictures = _draw(results, config)
    write_report(results, config.experiment.out, pictures)
    if json:
        echo(as_json(results))
    else:
        _show_table(results)
    names = ", ".join(("result.json", "report.md", *pictures))
    notify(f"Wrote {names} and the single runs to {config.experiment.out}.")
    return results


def _check_files(config: CompareConfig) -> None:
    """Raise ConfigError unless all files can be written, before anything is paid."""
    folder = config.experiment.out
    make_folder(folder)
    check_report(folder)
    if can_draw():
        from llmattn.comparing.plots import PICTURES

        for name in PICTURES:
            check_picture(folder / name, in_folder=True)


def _show_plan(config: CompareConfig) -> None:
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


def _show_arms(config: CompareConfig, bench: Bench, scores: Mapping[str, Scores]) -> None:
    width = max(len(arm.name) for arm in config.arms)
    for arm in config.arms:
        line = f"  {arm.name:<{width}}  {bench.parameters(arm):,} parameters"
        if arm.name in scores:
            found = scores[arm.name]
            channels = len(found.channels)
            line += f", {counted(channels, 'channel')} of scores"
            line += f" ({found.coverage:.1%} of the attention)"
        notify(line)


class _Shown:
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


def _show_table(results: Results) -> None:
    """The columns that fit a narrow terminal; report.md has all."""
    heads, *rows = table(results)
    shown = Table(box=box.SIMPLE_HEAD)
    chosen = [place for place, head in enumerate(heads) if head not in _LEFT_OUT]
    for place in chosen:
        head = heads[place].replace("over ", "over\n")
        if place:
            shown.add_column(head, justify="right", no_wrap=True)
        else:
            shown.add_column(head, overflow="fold")
    for row in rows:
        shown.add_row(*(row[place] for place in chosen))
    console = make_console()
    console.print(shown)
    console.print(legend(results))
    for warning in results.warnings():  # before anything is called better
        console.print(f"Beware: {warning}")
    for sentence in results.sentences():
        console.print(f"• {sentence}")


def _draw(results: Results, config: CompareConfig) -> list[str]:
    """Draw the pictures where matplotlib is installed; their names."""
    if not can_draw():
        notify("For pictures: pip install 'llmattn-core[plot]', and run the same command again.")
        return []
    from llmattn.comparing.plots import draw

    return [path.name for path in draw(results, config.experiment.out)]
