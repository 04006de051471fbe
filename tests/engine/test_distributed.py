"""``torchrun -m llmattn.train``: several processes that train one model as one would."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest
from llmattn.training.checkpoint import load_checkpoint
from support_cli import run_cli
from support_engine import write_corpus
from support_torchrun import assert_same_losses, torchrun, wait_for

QUICK = (
    *("train", "--corpus", "corpus.txt", "--n-layer", "2", "--n-head", "2", "--n-embd", "16"),
    *("--batch-size", "11", "--dropout", "0", "--provider", "random"),
)


@pytest.mark.parametrize("grad_accum", ["1", "3"])
def test_two_processes_have_the_losses_of_one(tmp_path: Path, grad_accum: str) -> None:
    write_corpus(tmp_path)
    command = (*QUICK, "--steps", "30", "--eval-every", "5", "--grad-accum", grad_accum)
    run_cli(tmp_path, *command, "--log-file", "one.jsonl")
    with torchrun(tmp_path, *command, "--log-file", "two.jsonl") as process:
        pass
    assert process.returncode == 0
    assert_same_losses(tmp_path / "one.jsonl", tmp_path / "two.jsonl")
    # Only the first process speaks, and only it asks for scores.
    assert (tmp_path / "out.txt").read_text().count("Best validation loss") == 1
    assert (tmp_path / "err.txt").read_text().count("scored now") == 1


def test_error_is_told_once_and_ends_all(tmp_path: Path) -> None:
    with torchrun(tmp_path, *QUICK) as process:
        pass
    assert process.returncode == 1
    assert (tmp_path / "err.txt").read_text().count("There is no corpus at corpus.txt") == 1


@pytest.mark.long
@pytest.mark.parametrize("shard", [(), ("--shard",)])
def test_interrupt_stops_all_at_one_step_and_one_process_can_go_on(
    tmp_path: Path, shard: tuple[str, ...]
) -> None:
    write_corpus(tmp_path)
    command = (*QUICK, "--steps", "60", "--eval-every", "1")
    run_cli(tmp_path, *command, "--out", "one.pt", "--log-file", "one.jsonl")
    with torchrun(tmp_path, *command, *shard, "--log-file", "two.jsonl") as process:
        wait_for(tmp_path / "out.txt", "10")
        process.send_signal(signal.SIGINT)
    assert (tmp_path / "err.txt").read_text().count("Stopped after step") == 1
    assert 10 <= load_checkpoint(tmp_path / "checkpoint.pt").last["step"] < 60
    assert run_cli(tmp_path, "train", "--resume", "--log-file", "two.jsonl").returncode == 0
    assert_same_losses(tmp_path / "one.jsonl", tmp_path / "two.jsonl")


@pytest.mark.long
@pytest.mark.parametrize(("rank", "shard"), [(0, ()), (1, ()), (1, ("--shard",))])
def test_run_goes_on_from_its_checkpoint_after_a_process_dies(
    tmp_path: Path, rank: int, shard: tuple[str, ...]
) -> None:
    write_corpus(tmp_path)
    command = (*QUICK, "--steps", "60", "--eval-every", "1", "--save-every", "0")
    run_cli(tmp_path, *command, "--out", "one.pt", "--log-file", "one.jsonl")
    with torchrun(tmp_path, *command, *shard, "--log-file", "two.jsonl", restarts=1) as process:
        wait_for(tmp_path / "out.txt", "10")
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(children[rank]), signal.SIGKILL)
    assert process.returncode == 0
    assert (tmp_path / "out.txt").read_text().count("going on after step") == 1
    assert_same_losses(tmp_path / "one.jsonl", tmp_path / "two.jsonl")
