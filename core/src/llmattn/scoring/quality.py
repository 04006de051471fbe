"""Finds replies that carry nothing: constant, counting and saturated rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from attrs import define

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
    kinds = []
    for values in scores.tolist():
        kind = _channel(values)
        if kind is None:
            return None
        kinds.append(kind)
    return min(kinds)


def _channel(values: list[float]) -> str | None:
    # Plain Python: rows are short, and NumPy's calls would cost more than the counting.
    known = [value for value in values if value == value]  # NaN is not
    if len(known) < MIN_KEYS:
        return None
    level, times = Counter(known).most_common(1)[0]
    if times >= _SAME * len(known):
        return "saturated" if level >= 1 else "constant"
    steps = Counter(round(after - value, 3) for value, after in pairwise(known))
    step, times = steps.most_common(1)[0]
    if step != 0 and times >= _COUNTING * (len(known) - 1):
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
    """Once failed, a trial stays failed until it restarts: degenerate rows are not kept."""

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

    def restart(self) -> None:
        """Judge the next 20 requests, as if there had been none."""
        self.requests, self.rows, self.bad, self.failed = 0, 0, 0, False

    def check(self, *, final: bool = False) -> None:
        """Raise DegenerateReplies if the 20th request (or, ``final``, the last) shows failure.

        Call it right after :meth:`judge`: other replies are judged meanwhile.
        """
        due = self.requests == TRIAL_REQUESTS or (final and not self.over)
        if self.failed or (due and self.rows and self.share > self.most):
            self.failed = True
            raise DegenerateReplies(
                f"{self.share:.0%} of the first {self.rows} rows carry nothing (all scores the "
                "same, or counting up): this model cannot do the task as asked. None of them "
                "was kept. Try another model, or allow it with --max-degenerate 1."
            )
