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
from llmattn.scoring.progress import describe, lines, shown_by

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
    """A bar for a run of scoring; lines now and then where there is no terminal."""
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    from llmattn.console import make_console

    console = make_console(stderr=True)
    if not console.is_terminal:
        with lines(name, priced) as update:
            yield update
        return
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%  {task.fields[counts]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
    )
    task = bar.add_task(printable(f"scoring with {name}"), total=None, counts="")

    def show(report: FillReport) -> None:
        counts = describe(report, priced=priced)
        bar.update(task, total=report.pairs - report.cached, completed=report.scored, counts=counts)

    with bar:
        yield show
