"""What the library tells while a command runs, on stderr, so that stdout holds results alone: its
notices as lines, and a run of scoring as a bar where there is a terminal.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from llmattn.notices import LOGGER, forget_told
from llmattn.printable import printable
from llmattn.scoring.progress import lines, progress, shown_by

if TYPE_CHECKING:
    from llmattn.scoring.report import FillReport

__all__ = ["speaking"]


class _Lines(logging.Handler):
    """Writes each notice as it is, to the stderr of the moment: a bar puts its own there."""

    def emit(self, record: logging.LogRecord) -> None:
        sys.stderr.write(f"{record.getMessage()}\n")
        sys.stderr.flush()


@contextmanager
def speaking() -> Iterator[None]:
    """Within, stderr tells what the library tells. A new command tells everything anew."""
    forget_told()
    handler = _Lines()
    before = LOGGER.level, LOGGER.propagate
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False  # with --debug the root logger would tell them again
    try:
        with shown_by(_bar):
            yield
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(before[0])
        LOGGER.propagate = before[1]


@contextmanager
def _bar(name: str, priced: bool) -> Iterator[Callable[[FillReport], None]]:
    """A bar with its time, and the counts below, so that both fit a narrow terminal; lines now and
    then where there is none.
    """
    from rich.console import Group
    from rich.live import Live
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.text import Text

    from llmattn.console import make_console

    console = make_console(stderr=True)
    if not console.is_terminal:
        with lines(name, priced) as update:
            yield update
        return
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=20),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )
    below = Text()
    task = bar.add_task(printable(f"scoring with {name}"), total=None)

    def show(report: FillReport) -> None:
        bar.update(task, total=report.pairs - report.cached, completed=report.scored)
        below.plain = printable(progress(report, priced=priced))

    with Live(Group(bar, below), console=console, refresh_per_second=10):
        yield show
