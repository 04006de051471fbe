"""Means over seeds, paired differences, and what may be concluded from their intervals."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from functools import lru_cache

from attrs import frozen

from llmattn.wording import signed

__all__ = ["LEVEL", "TRUSTED", "Estimate", "conclude", "estimate", "gain", "student_quantile"]

LEVEL = 0.95
"""How often an interval made in this way holds the true value."""

TRUSTED = 3
"""Seeds from which on an interval is told; two give one that is 12.7 standard errors wide."""


@frozen
class Estimate:
    """A mean over ``n`` seeds; ``half`` is half the width of its interval, None for one seed."""

    mean: float
    half: float | None
    n: int

    @property
    def sign(self) -> int:
        """1 or -1 where the interval lies above or below 0 and can be trusted, else 0."""
        if self.half is None or not self.trusted or abs(self.mean) <= self.half:
            return 0
        return 1 if self.mean > 0 else -1

    @property
    def trusted(self) -> bool:
        """Whether there are seeds enough for an interval that says something."""
        return self.half is not None and self.n >= TRUSTED

    @property
    def digits(self) -> int:
        """Decimals worth telling: thousandths of a nat, more only where seeds agree better."""
        return 4 if self.half is not None and self.trusted and self.half < 0.002 else 3

    def __str__(self) -> str:
        return f"{self.mean:.{self.digits}f}{self._around()}"

    def signed(self) -> str:
        """As text with its sign, for differences."""
        return f"{signed(self.mean, self.digits)}{self._around()}"

    def size(self) -> str:
        """As text without its sign."""
        return f"{abs(self.mean):.{self.digits}f}{self._around()}"

    def _around(self) -> str:
        return f" ± {self.half:.{self.digits}f}" if self.trusted else ""


@lru_cache
def student_quantile(freedom: int, level: float = LEVEL) -> float:
    """The t with ``P(|T| < t) = level`` for Student's T with ``freedom`` degrees of freedom.

    ``P(|T| > t)`` is the regularised incomplete beta function of ``freedom / (freedom + t²)``
    with the parameters ``freedom / 2`` and ``1 / 2``.
    """
    import mpmath  # type: ignore[import-untyped]

    def too_much(t: float) -> float:
        x = freedom / (freedom + t * t)
        beyond = mpmath.betainc(freedom / 2, 0.5, 0, x, regularized=True)
        return float(beyond) - (1 - level)

    low, high = 0.0, 1.0
    while too_much(high) > 0:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if too_much(middle) > 0 else (low, middle)
    return (low + high) / 2


def estimate(values: Sequence[float]) -> Estimate:
    """Mean and interval of values that are independent draws, one a seed."""
    n = len(values)
    mean = statistics.fmean(values)
    if n < 2:
        return Estimate(mean, None, n)
    error = statistics.stdev(values) / math.sqrt(n)
    return Estimate(mean, student_quantile(n - 1) * error, n)


def gain(losses: Mapping[int, float], baseline: Mapping[int, float]) -> Estimate:
    """How much lower the losses are than the baseline's, by paired differences.

    Both map a seed to a loss. The same seed draws the same batches for both, so what a lucky
    order does to both cancels out. Only seeds that both have count.
    """
    seeds = sorted(losses.keys() & baseline.keys())
    return estimate([baseline[seed] - losses[seed] for seed in seeds])


def conclude(arm: str, baseline: str, difference: Estimate) -> str:
    """What the interval of :func:`gain` says, in one sentence."""
    if difference.sign == 0:
        return f"{arm}: no measurable gain over {baseline}: {difference.signed()} nats a token."
    how = "better" if difference.sign > 0 else "worse"
    return f"{arm} is {how} than {baseline} by {difference.size()} nats a token."
