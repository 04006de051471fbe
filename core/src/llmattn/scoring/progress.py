"""Shows a run of scoring on stderr: a bar where there is a terminal, else lines now and then."""

from __future__ import annotations

import time
from types import TracebackType

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from llmattn.console import make_console
from llmattn.notices import notify
from llmattn.printable import printable
from llmattn.scoring.report import FillReport

__all__ = ["ScoringProgress", "describe"]

_SECONDS_BETWEEN_LINES = 15.0


class ScoringProgress:
    """A context manager; call :meth:`update` with the report as it grows."""

    def __init__(self, name: str, *, quiet: bool, priced: bool) -> None:
        self._name = name
        self._priced = priced
        self._quiet = quiet
        console = make_console(stderr=True)
        self._live = console.is_terminal and not quiet
        self._next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%  {task.fields[counts]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            disable=not self._live,
        )
        self._task = self._bar.add_task(printable(f"scoring with {name}"), total=None, counts="")

    def __enter__(self) -> ScoringProgress:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def update(self, report: FillReport) -> None:
        """Show ``report``."""
        line_due = not (self._live or self._quiet) and time.monotonic() >= self._next_line
        if not (self._live or line_due):
            return
        total, done = report.pairs - report.cached, report.scored
        counts = describe(report, priced=self._priced)
        if self._live:
            self._bar.update(self._task, total=total, completed=done, counts=counts)
        else:
            self._next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
            notify(f"scoring with {self._name}: {done:,} of {total:,} pairs, {counts}")


def describe(report: FillReport, *, priced: bool) -> str:
    """Requests, tokens and dollars so far, in words."""
    usage = report.usage
    planned = f" of {report.requests_planned:,}" if report.requests_planned else ""
    parts = [f"{usage.requests:,}{planned} requests"]
    if usage.prompt_tokens or usage.completion_tokens:
        parts.append(f"{usage.prompt_tokens + usage.completion_tokens:,} tokens")
    if priced:
        parts.append(f"${usage.cost:.4f}")
    if report.retries:
        parts.append(f"{report.retries:,} tried again")
    return ", ".join(parts)
