"""Finds replies that carry nothing: constant, counting and saturated rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import define
from numpy.typing import NDArray

from llmattn.errors import DegenerateReplies
from llmattn.rows import Scores

__all__ = ["MIN_KEYS", "Trial", "degenerate"]

MIN_KEYS = 6
"""Shorter rows are never called degenerate: four equal scores may well be meant."""
_SAME = 0.95
_COUNTING = 0.85
TRIAL_REQUESTS = 20


def degenerate(scores: Scores) -> str | None:
    """``"constant"``, ``"saturated"`` or ``"counting"`` if no channel of a row says anything.

    Constant: one value fills 95% of the row; saturated: that value is the highest score, 1.
    Counting: 85% of the steps from key to key are the same, as in 1, 2, 3, ….
    """
    kinds = {_channel(values) for values in scores}
    if None in kinds:
        return None
    return sorted(kind for kind in kinds if kind)[0]


def _channel(values: NDArray[np.float32]) -> str | None:
    known = values[~np.isnan(values)]
    if len(known) < MIN_KEYS:
        return None
    levels, counts = np.unique(known, return_counts=True)
    if counts.max() >= _SAME * len(known):
        return "saturated" if levels[counts.argmax()] >= 1 else "constant"
    steps, times = np.unique(np.round(np.diff(known), 3), return_counts=True)
    most = times.argmax()
    if steps[most] != 0 and times[most] >= _COUNTING * (len(known) - 1):
        return "counting"
    return None


@define
class Trial:
    """The share of degenerate rows, watched over the first 20 requests.

    Until the trial is passed degenerate rows are held back by the caller; when more than
    ``most`` of the rows are degenerate it fails, before the budget is gone.
    """

    most: float = 0.5
    requests: int = 0
    rows: int = 0
    bad: int = 0
    failed: bool = False
    """Once failed, a trial stays failed: degenerate rows are not kept any more."""

    @property
    def over(self) -> bool:
        """Whether the first 20 requests are behind us."""
        return self.requests >= TRIAL_REQUESTS

    @property
    def holds(self) -> bool:
        """Whether a degenerate row must not be kept yet, or at all."""
        return self.failed or not self.over

    @property
    def share(self) -> float:
        """Degenerate rows among those long enough to judge."""
        return self.bad / self.rows if self.rows else 0.0

    def judge(self, scores: Sequence[Scores]) -> list[bool]:
        """Which rows of one reply carry nothing. Counts them."""
        verdicts = [degenerate(row) is not None for row in scores]
        self.requests += 1
        self.rows += sum(row.shape[1] >= MIN_KEYS for row in scores)
        self.bad += sum(verdicts)
        return verdicts

    def check(self, *, final: bool = False) -> None:
        """Raise DegenerateReplies if the 20th request (or, ``final``, the last) shows failure.

        Call it right after :meth:`judge`: other replies are judged meanwhile.
        """
        due = self.requests == TRIAL_REQUESTS or (final and not self.over)
        if due and self.rows and self.share > self.most:
            self.failed = True
            raise DegenerateReplies(
                f"{self.share:.0%} of the first {self.rows} rows carry nothing (all scores the "
                "same, or counting up): this model cannot do the task as asked. None of them "
                "was kept. Try another model, or allow it with --max-degenerate 1."
            )
