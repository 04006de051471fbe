"""Means, intervals and conclusions."""

from __future__ import annotations

import numpy as np
import pytest
from llmattn.comparing.statistics import conclude, estimate, gain, student_quantile


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (2, 4.303), (4, 2.776), (9, 2.262), (120, 1.980)]
)
def test_quantiles_are_those_of_the_printed_tables(freedom: int, quantile: float) -> None:
    assert student_quantile(freedom) == pytest.approx(quantile, abs=5e-4)


def test_intervals_hold_the_true_mean_19_times_in_20() -> None:
    draws = np.random.default_rng(7).normal(3.0, 0.5, (2000, 4))
    found = [estimate([float(value) for value in row]) for row in draws]
    holding = sum(abs(e.mean - 3.0) <= e.half for e in found if e.half is not None)
    assert holding / len(found) == pytest.approx(0.95, abs=0.02)


def test_pairing_by_seed_cancels_what_a_seed_does_to_both() -> None:
    baseline = {0: 4.8, 1: 5.3, 2: 4.1}
    better = {seed: loss - 0.1 for seed, loss in baseline.items()}
    found = gain(better, baseline)
    assert found.mean == pytest.approx(0.1)
    assert found.half == pytest.approx(0.0, abs=1e-9)


def test_only_seeds_that_both_have_are_compared() -> None:
    found = gain({0: 4.0, 1: 4.0, 5: 99.0}, {0: 4.1, 1: 4.1, 2: 0.0})
    assert (found.n, round(found.mean, 6)) == (2, 0.1)


def test_an_interval_clear_of_zero_gives_better_or_worse() -> None:
    gains = gain({0: 4.70, 1: 4.71, 2: 4.69}, {0: 4.80, 1: 4.80, 2: 4.80})
    assert conclude("external", "position", gains) == (
        "external is better than position by 0.100 ± 0.025 nats a token."
    )
    losses = gain({0: 4.80, 1: 4.80, 2: 4.80}, {0: 4.70, 1: 4.71, 2: 4.69})
    assert conclude("learned", "position", losses).startswith("learned is worse than position by")


def test_an_interval_around_zero_gives_no_measurable_gain() -> None:
    gains = gain({0: 4.70, 1: 4.82, 2: 4.79}, {0: 4.75, 1: 4.78, 2: 4.79})
    assert conclude("external", "position", gains) == (
        "external: no measurable gain over position: +0.003 ± 0.112 nats a token."
    )


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_or_two_seeds_have_no_interval(seeds: int) -> None:
    gains = gain(dict.fromkeys(range(seeds), 1.0), dict.fromkeys(range(seeds), 9.0))
    assert gains.sign == 0
    assert gains.signed() == "+8.000"
