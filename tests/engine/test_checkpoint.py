"""The checkpoint file: whole or refused, and never a program."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from attrs import evolve
from llmattn.errors import CheckpointError
from llmattn.training.checkpoint import (
    check_writable,
    load_checkpoint,
    save_checkpoint,
)
from support_engine import example_checkpoint, full_table, lively_model


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "checkpoint.pt"
    save_checkpoint(file, example_checkpoint())
    return file


def resaved(path: Path, **changes: Any) -> Path:
    data = torch.load(path, weights_only=True)
    torch.save({**data, **changes}, path)
    return path


def test_saved_checkpoint_loads_as_it_was(path: Path) -> None:
    saved, loaded = example_checkpoint(), load_checkpoint(path)
    same = ("model_config", "train_config", "best", "last", "scored", "coverage", "corpus")
    for name in same:
        assert getattr(loaded, name) == getattr(saved, name)
    assert loaded.tokenizer.vocabulary == saved.tokenizer.vocabulary
    ids = torch.tensor([[2, 5, 3]])
    assert loaded.table is not None
    scores = loaded.table.gather(ids)
    expected, _ = lively_model(saved.model_config)(ids, full_table().gather(ids))
    assert torch.equal(loaded.model()(ids, scores)[0], expected)


def test_missing_checkpoint_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="llmattn train CORPUS"):
        load_checkpoint(tmp_path / "none.pt")


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9, 0.999])
def test_truncated_checkpoint_is_refused(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(CheckpointError, match="truncated"):
        load_checkpoint(path)


@pytest.mark.parametrize("data", [b"hello", b"PK\x03\x04 not a zip", b"\x80\x04K\x05."])
def test_file_of_another_kind_is_refused(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=str(path)):
        load_checkpoint(path)


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mknod, (str(self.target),)


@pytest.mark.parametrize("zipped", [True, False])
def test_hostile_pickle_is_refused_and_does_nothing(tmp_path: Path, zipped: bool) -> None:
    victim, path = tmp_path / "victim", tmp_path / "checkpoint.pt"
    data = {"format": "llmattn-checkpoint", "version": 1, "weights": Bomb(victim)}
    if zipped:
        torch.save(data, path)
    else:
        path.write_bytes(pickle.dumps(data))
    with pytest.raises(CheckpointError, match="can run any program"):
        load_checkpoint(path)
    assert not victim.exists()


def test_torch_file_of_another_program_is_refused(path: Path) -> None:
    torch.save({"model": torch.zeros(3)}, path)
    with pytest.raises(CheckpointError, match="no checkpoint of llmattn"):
        load_checkpoint(path)


def test_newer_format_asks_for_the_llmattn_that_wrote_it(path: Path) -> None:
    with pytest.raises(CheckpointError, match="format 99"):
        load_checkpoint(resaved(path, version=99))


@pytest.mark.parametrize(
    "changes",
    [
        {"model_config": {"vocab_size": 0}},
        {"model_config": {"colour": "red"}},
        {"train_config": None},
        {"tokenizer": {}},
        {"scored": [{"identity": {}, "local": True}]},
        {"table": {"vocab_size": 12}},
        {"coverage": None},
    ],
)
def test_checkpoint_with_a_damaged_part_is_refused(path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(CheckpointError, match="damaged"):
        load_checkpoint(resaved(path, **changes))


def test_weights_of_another_shape_are_refused(path: Path) -> None:
    data = torch.load(path, weights_only=True)
    data["weights"]["norm.weight"] = torch.zeros(5)
    with pytest.raises(CheckpointError, match="do not fit"):
        load_checkpoint(resaved(path, weights=data["weights"]))


def test_failed_write_leaves_the_old_checkpoint_and_no_litter(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(AttributeError):
        save_checkpoint(path, evolve(example_checkpoint(), best={"loss": lambda: 0}))
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == [path.name]


def test_place_that_cannot_be_written_is_found_beforehand(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="--out"):
        check_writable(tmp_path / "no" / "such" / "folder.pt")
    with pytest.raises(CheckpointError, match="is a folder"):
        check_writable(tmp_path)
    check_writable(tmp_path / "model.pt")
    assert os.listdir(tmp_path) == []
