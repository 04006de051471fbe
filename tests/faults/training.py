"""``train`` stopped at random moments, and resumed: it ends as the unbroken one, to the bit."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from faults.runs import write_text
from faults.table import Outcome
from llmattn.training.checkpoint import load_checkpoint
from support_cli import run_cli, start_process

__all__ = ["trainings"]

_TRAIN = (
    *("train", "--corpus", "corpus.txt", "--provider", "random", "--steps", "600"),
    *("--n-layer", "1", "--n-embd", "16", "--n-head", "2", "--batch-size", "8"),
    *("--eval-every", "20", "--save-every", "0", "--dropout", "0.1"),
)


def trainings(folder: Path, tries: int) -> Iterator[Outcome]:
    """``train`` stopped by each signal."""
    write_text(folder)
    whole = run_cli(folder, *_TRAIN, "--out", "whole.pt")
    assert whole.returncode == 0, whole.stderr
    for number in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        out = folder / f"{number.name}.pt"
        tried = _stopped(folder, out, number, max(1, tries // 2))
        resumed = run_cli(folder, "train", "--resume", "--out", out)
        assert resumed.returncode == 0, resumed.stderr
        lost = _differences(out, folder / "whole.pt")
        name = "Ctrl-C" if number == signal.SIGINT else number.name
        yield Outcome(f"`train`: {name}", tried, lost, 0, unit="weights")


def _stopped(folder: Path, out: Path, number: signal.Signals, tries: int) -> int:
    """Begin, and stop so often after a checkpoint was written; gives how often it was."""
    draw = random.Random(4)
    for tried in range(tries):
        resumes = ("train", "--resume") if out.exists() else _TRAIN
        run = start_process(folder, *resumes, "--out", out)
        before = out.stat().st_mtime_ns if out.exists() else 0
        while run.poll() is None and not (out.exists() and out.stat().st_mtime_ns > before):
            time.sleep(0.002)
        time.sleep(draw.random() * 0.1)
        run.send_signal(number)
        _, told = run.communicate(timeout=120)
        ours = number == signal.SIGKILL
        # Its last step was faster; while Python takes itself apart, signals are the system's again.
        if run.returncode == 0 or (run.returncode == -number and not ours):
            return tried
        assert run.returncode == (-number if ours else 128 + number), told
        assert "Traceback" not in told, told
    return tries


def _differences(one: Path, other: Path) -> int:
    """Numbers in the weights of two checkpoints that are not the same."""
    a, b = (load_checkpoint(path).last["model"] for path in (one, other))
    assert a.keys() == b.keys()
    return sum(int((a[name] != b[name]).sum()) for name in a if isinstance(a[name], torch.Tensor))
