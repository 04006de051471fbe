"""Replies that carry nothing."""

from __future__ import annotations

import numpy as np
import pytest
from llmattn.errors import DegenerateReplies
from llmattn.rows import Scores
from llmattn.scoring.quality import Trial, degenerate


def row(*digits: int) -> Scores:
    return np.array([[digit / 9 for digit in digits]], np.float32)


@pytest.mark.parametrize(
    ("digits", "kind"),
    [
        ((5, 5, 5, 5, 5, 5), "constant"),
        ((9, 9, 9, 9, 9, 9, 9), "saturated"),
        ((1, 2, 3, 4, 5, 6, 7, 8, 9), "counting"),
        ((9, 8, 7, 6, 5, 4, 3), "counting"),
        ((0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1, 2, 3), "counting"),
    ],
)
def test_rows_that_say_nothing_are_found(digits: tuple[int, ...], kind: str) -> None:
    assert degenerate(row(*digits)) == kind


@pytest.mark.parametrize(
    "digits", [(0, 0, 0, 0, 7, 0, 0), (5, 5, 5), (1, 2, 3, 4), (7, 1, 0, 9, 3, 3, 2)]
)
def test_rows_that_say_something_or_are_short_pass(digits: tuple[int, ...]) -> None:
    assert degenerate(row(*digits)) is None


def test_one_channel_that_says_something_is_enough() -> None:
    both = np.concatenate([row(5, 5, 5, 5, 5, 5), row(1, 7, 0, 2, 2, 9)])
    assert degenerate(both) is None


def test_a_trial_fails_once_twenty_requests_are_mostly_empty() -> None:
    trial = Trial(most=0.5)
    for _ in range(20):
        trial.check()
        trial.judge([row(5, 5, 5, 5, 5, 5), row(5, 5, 5, 5, 5, 5), row(1, 7, 0, 2, 2, 9)])
    with pytest.raises(DegenerateReplies, match="67% of the first 60 rows"):
        trial.check()
