"""An exported model: readable by other programs, and the same model when it is read back."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from llmattn.errors import CheckpointError
from llmattn.training.checkpoint import export_checkpoint, load_checkpoint
from safetensors import safe_open
from support_cli import FAILED, run_cli
from support_engine import SMALL, example_checkpoint, write_corpus
from tokenizers import Tokenizer

QUICK = ("train", "--corpus", "corpus.txt", "--steps", "5", *SMALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a checkpoint, and what ``llmattn export`` makes of it in ``model/``."""
    folder = tmp_path_factory.mktemp("export")
    write_corpus(folder)
    assert run_cli(folder, *QUICK, "--provider", "random").returncode == 0
    done = run_cli(folder, "export", "checkpoint.pt", "--safetensors", "model")
    assert done.returncode == 0, done.stderr
    assert "model/model.safetensors" in done.stdout
    return folder


def test_exported_model_computes_the_same_to_the_last_bit(folder: Path) -> None:
    ids = torch.tensor([[1, 5, 3, 7, 2]])
    logits = []
    for path in (folder / "checkpoint.pt", folder / "model"):
        loaded = load_checkpoint(path)
        assert loaded.table is not None
        logits.append(loaded.model()(ids, loaded.table.gather(ids))[0])
    assert torch.equal(logits[0], logits[1])


def test_weights_are_read_by_the_safetensors_library(folder: Path) -> None:
    weights = load_checkpoint(folder / "checkpoint.pt").weights
    with safe_open(folder / "model" / "model.safetensors", "pt") as file:
        assert set(file.keys()) == set(weights)
        for name in weights:
            assert torch.equal(file.get_tensor(name), weights[name])


def test_tokenizer_is_read_by_the_tokenizers_library(folder: Path) -> None:
    ours = load_checkpoint(folder / "checkpoint.pt").tokenizer
    theirs = Tokenizer.from_file(str(folder / "model" / "tokenizer.json"))
    assert theirs.encode("The cat sees the zebra.").ids == ours.encode("The cat sees the zebra.")


def test_settings_of_the_model_are_plain_json(folder: Path) -> None:
    config = json.loads((folder / "model" / "config.json").read_text())
    assert config["model_config"]["n_embd"] == 16
    assert config["scored"][0]["identity"]["provider"] == "random"


def test_an_export_does_not_tell_where_the_corpus_was(folder: Path) -> None:
    assert "corpus.txt" not in (folder / "model" / "config.json").read_text()


def test_the_text_of_training_is_told_from_others_though_its_place_is_not(folder: Path) -> None:
    (folder / "moved.txt").write_bytes((folder / "corpus.txt").read_bytes())
    (folder / "other.txt").write_text("the cat sees the dog .\n")
    told = "The model was trained on most of this text"
    assert told in run_cli(folder, "eval", "model", "moved.txt").stderr
    assert told not in run_cli(folder, "eval", "model", "other.txt").stderr


def test_an_export_is_shown_without_its_text_as_far_as_it_goes(folder: Path) -> None:
    done = run_cli(folder, "show", "model")
    assert done.returncode == 0, done.stderr
    assert "Name a text to measure on with --corpus" in done.stderr


def test_exported_model_can_be_sampled(folder: Path) -> None:
    same = ("--prompt", "the cat", "--seed", "3")
    texts = [
        run_cli(folder, "sample", "--checkpoint", name, *same).stdout
        for name in ("checkpoint.pt", "model")
    ]
    assert texts[0].startswith("the cat")
    assert texts[0] == texts[1]


def test_folder_that_is_no_export_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"without config\.json"):
        load_checkpoint(tmp_path)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "scores.safetensors", "tokenizer.json", "config.json"]
)
def test_damaged_export_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    export_checkpoint(tmp_path, load_checkpoint(folder / "checkpoint.pt"))
    (tmp_path / name).write_text("{")
    with pytest.raises(CheckpointError, match=r"damaged|cannot be read"):
        load_checkpoint(tmp_path)


def test_export_into_a_file_is_refused(folder: Path) -> None:
    done = run_cli(folder, "export", "checkpoint.pt", "--safetensors", "corpus.txt")
    assert done.returncode in FAILED
    assert "cannot be exported to corpus.txt" in done.stderr


@pytest.mark.parametrize(
    "name", ["config.json", "tokenizer.json", "model.safetensors", "scores.safetensors"]
)
def test_pipe_in_an_exported_folder_ends_in_a_message(tmp_path: Path, name: str) -> None:
    export_checkpoint(tmp_path, example_checkpoint())
    (tmp_path / name).unlink()
    os.mkfifo(tmp_path / name)
    with pytest.raises(CheckpointError, match="a pipe or a device, not a file"):
        load_checkpoint(tmp_path)


def test_export_writes_nothing_through_links_in_its_folder(tmp_path: Path) -> None:
    folder = tmp_path / "exported"
    files = export_checkpoint(folder, example_checkpoint())
    for path in files:
        path.unlink()
        (tmp_path / path.name).write_text("mine")
        path.symlink_to(tmp_path / path.name)
    assert export_checkpoint(folder, example_checkpoint()) == files
    assert [(tmp_path / path.name).read_text() for path in files] == ["mine"] * len(files)
    assert load_checkpoint(folder).coverage == example_checkpoint().coverage
