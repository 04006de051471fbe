"""``torchrun -m llmattn.train --shard``: a model split among processes is the same model."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from support_cli import FAILED, run_cli
from support_engine import write_corpus
from support_torchrun import assert_same_losses, torchrun

QUICK = (
    *("train", "--corpus", "corpus.txt", "--n-layer", "2", "--n-head", "2", "--n-embd", "16"),
    *("--batch-size", "11", "--grad-accum", "3", "--dropout", "0", "--provider", "random"),
    # Clipped in every step: a norm of one process's part alone would show.
    *("--grad-clip", "0.1", "--test-fraction", "0.1", "--eval-every", "5", "--steps", "20"),
)
PARTS = """
import json, sys
from pathlib import Path
from torch.distributed.tensor import DTensor
from llmattn.training.begin import begin
from llmattn.model.config import ModelConfig
from llmattn.training.config import RunOptions, TrainConfig
from llmattn.training.distributed import join_team
from llmattn.training.interrupt import StopWish

def count(tensors):
    return sum((t.to_local() if isinstance(t, DTensor) else t).numel() for t in tensors)

with join_team("cpu", sharded=True) as (team, _):
    shape = ModelConfig.from_options(attention="learned", n_embd=16, n_head=2, n_layer=2)
    settings = TrainConfig(steps=1, batch_size=4)
    run = begin(
        Path("corpus.txt"), settings, shape, options=RunOptions(out=Path("parts.pt")), team=team
    )
    run.trainer.run(on_report=lambda _: None, save=run.save, stop=StopWish())
    model, state = run.trainer.model, run.trainer.optimizer.state_dict()["state"]
    counts = {
        "whole": model.parameter_count(),
        "weights": count(model.parameters()),
        "gradients": count(p.grad for p in model.parameters()),
        "moments": count(t for values in state.values() for t in values.values() if t.dim()),
    }
    Path(f"{team.rank}.json").write_text(json.dumps(counts))
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the same run by one process, ``one``, and by two that split it, ``two``."""
    folder = tmp_path_factory.mktemp("split")
    write_corpus(folder)
    done = run_cli(folder, *QUICK, "--out", "one.pt", "--log-file", "one.jsonl")
    (folder / "one.txt").write_text(done.stdout)
    with torchrun(folder, *QUICK, "--shard", "--out", "two.pt", "--log-file", "two.jsonl") as two:
        pass
    assert two.returncode == 0, (folder / "err.txt").read_text()
    return folder


def leaves(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested dictionaries and lists, by their paths."""
    if isinstance(value, (Mapping, list, tuple)):
        parts = value.items() if isinstance(value, Mapping) else enumerate(value)
        for key, part in parts:
            yield from leaves(part, f"{name}/{key!r}")
    else:
        yield name, value


def test_split_model_has_the_losses_of_a_whole_one(trained: Path) -> None:
    assert_same_losses(trained / "one.jsonl", trained / "two.jsonl")
    said = (trained / "out.txt").read_text()
    assert "split among 2 processes" in said
    best, tested = said.splitlines()[-3:-1]
    assert best.split(";")[0] in (trained / "one.txt").read_text()
    assert tested in (trained / "one.txt").read_text()


def test_checkpoint_of_a_split_model_is_that_of_a_whole_one(trained: Path) -> None:
    one, two = (
        dict(leaves(torch.load(trained / f"{name}.pt", weights_only=True)))
        for name in ("one", "two")
    )
    # A split model writes no lines on the way, and its test loss is told, not kept.
    own = ("/'history'/'samples'", "/'history'/'test_loss'")
    one, two = (
        {name: value for name, value in each.items() if not name.startswith(own)}
        for each in (one, two)
    )
    assert list(one) == list(two)
    for name, value in one.items():
        assert type(two[name]) is type(value), name
        if isinstance(value, torch.Tensor):
            assert two[name].dtype == value.dtype
            torch.testing.assert_close(two[name], value, atol=1e-4, rtol=1e-3)


def test_eval_and_sample_read_the_checkpoint_of_a_split_model(trained: Path) -> None:
    one, two = (
        json.loads(run_cli(trained, "eval", f"{name}.pt", "corpus.txt", "--json").stdout)
        for name in ("one", "two")
    )
    assert two["loss"] == pytest.approx(one["loss"], abs=1e-5)
    done = run_cli(
        trained, "sample", "--prompt", "the cat", "--checkpoint", "two.pt", "--max-new", "3"
    )
    assert done.returncode == 0, done.stderr


def test_split_and_whole_runs_go_on_from_each_other(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    longer = ("train", "--resume", "--steps", "30")
    shutil.copy(tmp_path / "one.pt", tmp_path / "other.pt")
    shutil.copy(tmp_path / "one.jsonl", tmp_path / "other.jsonl")
    run_cli(tmp_path, *longer, "--out", "one.pt", "--log-file", "one.jsonl")
    run_cli(tmp_path, *longer, "--out", "two.pt", "--log-file", "two.jsonl")
    assert_same_losses(tmp_path / "one.jsonl", tmp_path / "two.jsonl")
    split = (*longer, "--shard", "--out", "other.pt", "--log-file", "other.jsonl")
    with torchrun(tmp_path, *split) as process:
        pass
    assert process.returncode == 0, (tmp_path / "err.txt").read_text()
    assert_same_losses(tmp_path / "one.jsonl", tmp_path / "other.jsonl")


def test_each_process_holds_its_part_of_weights_gradients_and_moments(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    (tmp_path / "parts.py").write_text(PARTS)
    with torchrun(tmp_path, program=["parts.py"]) as process:
        pass
    assert process.returncode == 0, (tmp_path / "err.txt").read_text()
    first, second = (json.loads((tmp_path / f"{rank}.json").read_text()) for rank in (0, 1))
    whole = first["whole"]
    for name, parameters in (("weights", 1), ("gradients", 1), ("moments", 2)):
        assert first[name] + second[name] == parameters * whole
        assert first[name] == pytest.approx(second[name], rel=0.05)


def test_one_process_cannot_split_a_model(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    done = run_cli(tmp_path, *QUICK, "--shard")
    assert done.returncode in FAILED
    assert "--shard splits the model among processes, and there is one" in done.stderr


@pytest.mark.long
def test_run_that_has_lost_all_other_processes_goes_on_whole(trained: Path, tmp_path: Path) -> None:
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    longer = ("train", "--resume", "--steps", "25", "--out", "two.pt", "--shard")
    with torchrun(tmp_path, *longer, processes=1) as process:
        pass
    assert process.returncode == 0
    assert "there is one process, which holds the whole model" in (tmp_path / "err.txt").read_text()


@pytest.mark.long
@pytest.mark.timeout(900)  # a compiler beside another's work
def test_compiled_split_model_of_bfloat16_has_the_losses_of_a_plain_one(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    command = (*QUICK, "--stream", "--block-size", "16", "--precision", "bfloat16")
    run_cli(tmp_path, *command, "--log-file", "one.jsonl")
    with torchrun(tmp_path, *command, "--shard", "--compile", "--log-file", "two.jsonl") as two:
        pass
    assert two.returncode == 0, (tmp_path / "err.txt").read_text()
    assert_same_losses(tmp_path / "one.jsonl", tmp_path / "two.jsonl", within=2e-3)
