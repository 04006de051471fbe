"""``torchrun`` as a process, and the losses that its run has logged."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from support_cli import LLMATTN, start_process


@contextmanager
def torchrun(
    folder: Path,
    *arguments: str,
    restarts: int = 0,
    processes: int = 2,
    program: Sequence[str] = LLMATTN,
) -> Iterator[subprocess.Popen[str]]:
    """``torchrun --nproc-per-node 2 -m llmattn ARGUMENTS`` in ``folder``; output in files. It has
    ended when the context is left.
    """
    launcher = [
        *("-m", "torch.distributed.run", "--standalone"),
        *("--nproc-per-node", str(processes), "--max-restarts", str(restarts)),
        *program,
    ]
    with (folder / "out.txt").open("w") as out, (folder / "err.txt").open("w") as err:
        process = start_process(folder, *arguments, program=launcher, stdout=out, stderr=err)
    try:
        yield process
        process.wait(timeout=600)
    finally:
        process.terminate()  # torchrun then ends its processes
        process.wait(timeout=600)


def wait_for(path: Path, text: str) -> None:
    """Until a line of the file begins with ``text``."""
    for _ in range(1200):
        if any(line.split()[:1] == [text] for line in path.read_text().splitlines()):
            return
        time.sleep(0.1)
    raise AssertionError(f"{text} never came: {path.read_text()}")


def losses(path: Path) -> list[tuple[int, float | None, float]]:
    """Step, training and validation loss of each evaluation in a JSON Lines log."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [(r["step"], r["train_loss"], r["val_loss"]) for r in records]


def assert_same_losses(one: Path, other: Path, within: float = 1e-5) -> None:
    """Equal to ``within`` nats in each evaluation."""
    a, b = losses(one), losses(other)
    assert [row[0] for row in a] == [row[0] for row in b]
    for (_, train_a, val_a), (_, train_b, val_b) in zip(a, b, strict=True):
        assert train_a == pytest.approx(train_b, abs=within)
        assert val_a == pytest.approx(val_b, abs=within)
