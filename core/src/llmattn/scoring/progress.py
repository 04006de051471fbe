"""How a run of scoring is followed: by a notice now and then, or as a program shows it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from llmattn.notices import notify
from llmattn.scoring.report import FillReport
from llmattn.wording import counted, lasting

__all__ = ["Display", "describe", "following", "lines", "progress", "shown_by"]

Display = Callable[[str, bool], AbstractContextManager[Callable[[FillReport], None]]]
"""Called with a provider's name, and whether its price is known, when a run of scoring begins; what
the context gives is called with the report as it grows, from the thread that scores.
"""

_SECONDS_BETWEEN_LINES = 15.0


@contextmanager
def lines(name: str, priced: bool) -> Iterator[Callable[[FillReport], None]]:
    """The display where a program sets up none: a notice every 15 seconds."""
    began = time.monotonic()
    next_line = time.monotonic() + _SECONDS_BETWEEN_LINES

    def update(report: FillReport) -> None:
        nonlocal next_line
        if time.monotonic() < next_line:
            return
        next_line = time.monotonic() + _SECONDS_BETWEEN_LINES
        total = report.pairs - report.cached
        told = [f"{report.scored:,} of {counted(total, 'pair')}", progress(report, priced=priced)]
        if report.scored:
            left = (time.monotonic() - began) * (total - report.scored) / report.scored
            told.append(f"about {lasting(left)} left")
        notify(f"scoring with {name}: {', '.join(told)}")

    yield update


_display: Display = lines


@contextmanager
def shown_by(display: Display) -> Iterator[None]:
    """Within, ``display`` shows the runs of scoring of this process, whichever thread asks."""
    global _display
    before, _display = _display, display
    try:
        yield
    finally:
        _display = before


@contextmanager
def following(
    name: str, *, quiet: bool, priced: bool
) -> Iterator[Callable[[FillReport], None] | None]:
    """What is to be called with the report of a run of scoring as it grows; None if ``quiet``."""
    if quiet:
        yield None
        return
    with _display(name, priced) as update:
        yield update


def progress(report: FillReport, *, priced: bool) -> str:
    """Rows, requests, tokens and dollars so far, in words."""
    return f"{counted(report.rows_scored, 'row')}, {describe(report, priced=priced)}"


def describe(report: FillReport, *, priced: bool) -> str:
    """Requests, tokens and dollars so far, in words."""
    usage = report.usage
    planned = report.requests_planned
    if planned >= max(1, usage.requests):
        parts = [f"{usage.requests:,} of {counted(planned, 'request')}"]
    else:
        more = f" ({planned:,} planned)" if planned else ""  # replies that were no use, asked again
        parts = [f"{counted(usage.requests, 'request')}{more}"]
    if usage.prompt_tokens or usage.completion_tokens:
        parts.append(counted(usage.prompt_tokens + usage.completion_tokens, "token"))
    if priced:
        parts.append(f"${usage.cost:.4f}")
    if report.retries:
        parts.append(f"{report.retries:,} tried again")
    return ", ".join(parts)
