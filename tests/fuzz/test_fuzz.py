"""Altered files of each kind end in success or in an error of ours, in 40 s of CPU and 1 GB.

``PYTHONPATH=tests python -m fuzz KIND --cases 500`` tries more of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fuzz.kinds import KINDS


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", [*KINDS])
def test_altered_files_end_in_success_or_in_an_error_of_ours(
    kind: str, record_property: Callable[[str, object], None]
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "fuzz", kind, "--cases", "150", "--jobs", "1"],
        env={"PATH": os.defpath, "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
    )
    record_property("counts", done.stdout)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    assert ": 150 cases: " in done.stdout
