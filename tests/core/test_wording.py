"""Numbers in what a person reads."""

from __future__ import annotations

import pytest
from llmattn.scoring.progress import describe
from llmattn.scoring.report import FillReport
from llmattn.usage import Usage
from llmattn.wording import counted, signed


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 requests"), (1, "1 request"), (2000, "2,000 requests")]
)
def test_a_noun_follows_its_count(count: int, text: str) -> None:
    assert counted(count, "request") == text


@pytest.mark.parametrize(
    ("value", "text"), [(-0.0004, "0.000"), (0.0004, "0.000"), (-0.0006, "-0.001"), (0.5, "+0.500")]
)
def test_a_zero_has_no_sign(value: float, text: str) -> None:
    assert signed(value, 3) == text


@pytest.mark.parametrize(
    ("sent", "planned", "text"),
    [(1, 0, "1 request"), (1, 1, "1 of 1 request"), (9, 2, "9 requests (2 planned)")],
)
def test_no_more_requests_are_told_than_there_are(sent: int, planned: int, text: str) -> None:
    report = FillReport(requests_planned=planned, usage=Usage(requests=sent))
    assert describe(report, priced=False) == text
