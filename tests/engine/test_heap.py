"""Memory that one step frees serves the next one."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest
from support_cli import run_process

ROUNDS = """
import resource, torch
from llmattn.training.heap import keep_heap
assert keep_heap()
for _ in range(20):  # 40 MB, more than glibc ever keeps by itself
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.zeros(10_000_000)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_a_large_block_comes_from_memory_that_was_used_before(tmp_path: Path) -> None:
    result = run_process(tmp_path, program=("-c", ROUNDS))
    assert result.returncode == 0, result.stderr
    faults = [int(line) for line in result.stdout.split()]
    assert min(faults) < 100
