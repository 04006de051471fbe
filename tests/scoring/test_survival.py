"""Faults that ``make faults`` meets more often: nothing stored is lost, and little asked again."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from faults.runs import AT_ONCE, PAIRS
from faults.stops import stop_at_random
from faults.table import outcomes


def test_kill_minus_nine_loses_at_most_the_requests_under_way(tmp_path: Path) -> None:
    found = stop_at_random(tmp_path, signal.SIGKILL, 2)
    assert found.lost == 0
    assert found.repeated <= 2 * (AT_ONCE + 1) * PAIRS  # one more may wait for the disk


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_no_fault_loses_what_was_stored_and_few_repeat_what_was_under_way(
    tmp_path: Path,
) -> None:
    for found in outcomes(tmp_path, tries=3):
        assert found.lost == 0, found
        if "SIGKILL" in found.fault or "full" in found.fault:
            assert found.repeated <= found.tried * (AT_ONCE + 1) * PAIRS
        elif found.fault.startswith("`score`: "):
            assert found.repeated == 0, found
