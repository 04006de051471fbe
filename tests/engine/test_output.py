"""Where a run's checkpoint goes: no good one is lost to an accident, a full disk, or a slip."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from attrs import evolve
from llmattn.errors import CheckpointError
from llmattn.training.checkpoint import load_checkpoint, save_checkpoint
from llmattn.training.output import Output, check_space
from support_cli import FAILED, run_cli
from support_engine import SMALL, example_checkpoint, small_config, write_corpus

PLAIN = ("--attention", "position", "--eval-every", "2", *SMALL)
TRAIN = ("train", "--corpus", "corpus.txt", *PLAIN)

needs_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root makes devices and mounts"
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A text, and the checkpoint of a run of four steps."""
    write_corpus(tmp_path)
    save_checkpoint(tmp_path / "checkpoint.pt", evolve(example_checkpoint(), corpus="before"))
    return tmp_path


def test_a_second_run_keeps_the_checkpoint_of_the_first_beside_its_own(folder: Path) -> None:
    before = (folder / "checkpoint.pt").read_bytes()
    (folder / "checkpoint.1.pt").write_bytes(b"another")
    done = run_cli(folder, *TRAIN, "--steps", "4")
    assert done.returncode == 0, done.stderr
    assert "held the checkpoint of another run, which is now checkpoint.2.pt" in done.stderr
    assert (folder / "checkpoint.2.pt").read_bytes() == before
    assert (folder / "checkpoint.1.pt").read_bytes() == b"another"
    assert load_checkpoint(folder / "checkpoint.pt").last["step"] == 4


def test_a_run_stopped_before_it_learnt_anything_leaves_the_other_checkpoint_in_its_place(
    folder: Path,
) -> None:
    before = (folder / "checkpoint.pt").read_bytes()
    done = run_cli(folder, *TRAIN, "--max-time", "0.000001")
    assert done.returncode == 0, done.stderr
    assert (folder / "checkpoint.pt").read_bytes() == before
    assert "--resume --out checkpoint.1.pt" in done.stdout
    resumed = run_cli(folder, "train", "--resume", "--out", "checkpoint.1.pt", "--steps", "2")
    assert resumed.returncode == 0, resumed.stderr
    assert (folder / "checkpoint.pt").read_bytes() == before


def test_a_checkpoint_that_stood_beside_moves_in_once_it_is_worth_more(tmp_path: Path) -> None:
    path = tmp_path / "model.pt"
    old = example_checkpoint()
    save_checkpoint(path, evolve(old, corpus="old"))
    output = Output.of_new_run(path)
    output.save(evolve(old, best={"loss": 9.0, "step": 0}, corpus="new"))
    assert (output.path, load_checkpoint(path).corpus) == (tmp_path / "model.1.pt", "old")
    output.save(evolve(old, best={"loss": 3.0, "step": 7}, corpus="new"))
    output.save(evolve(old, best={"loss": 2.0, "step": 8}, corpus="new"))
    found = {each.name: load_checkpoint(each).corpus for each in tmp_path.iterdir()}
    assert found == {"model.pt": "new", "model.2.pt": "old"}


def test_a_resumed_run_keeps_nothing_beside_its_own_checkpoint(folder: Path) -> None:
    done = run_cli(folder, *TRAIN, "--steps", "2", "--out", "own.pt")
    assert done.returncode == 0, done.stderr
    run_cli(folder, "train", "--resume", "--out", "own.pt", "--steps", "4")
    assert not list(folder.glob("own.?.pt"))


@pytest.mark.parametrize(
    "out", ["corpus.txt", "./corpus.txt", "link.pt", "hard.pt", "loop/corpus.txt"]
)
def test_the_text_is_never_the_checkpoint(folder: Path, out: str) -> None:
    text = (folder / "corpus.txt").read_bytes()
    (folder / "link.pt").symlink_to("corpus.txt")
    (folder / "hard.pt").hardlink_to(folder / "corpus.txt")
    (folder / "loop").symlink_to(".")
    done = run_cli(folder, *TRAIN, "--steps", "1", "--out", out)
    assert done.returncode in FAILED
    assert f"--out {Path(out)} is the same as --corpus" in done.stderr
    assert (folder / "corpus.txt").read_bytes() == text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--config", "run.toml", "--out", "run.toml"), "is the same as --config"),
        (("--out", "a.csv", "--log", "a.csv"), "is the same as --"),
        (("--out", "notes.pt"), "--out notes.pt is there already and is not a checkpoint"),
        (("--log", "notes.csv"), "--log notes.csv is there already and is not a training log"),
        (("--out", "-"), "--out - is no file"),
        (("--out", "no/such/x.pt"), "No checkpoint can be written to no/such/x.pt: no/such is not"),
        (("--log", "no/such/x.csv"), "No training log can be written to no/such/x.csv"),
    ],
)
def test_what_cannot_be_written_is_told_before_anything_is_scored(
    folder: Path, options: tuple[str, ...], message: str
) -> None:
    (folder / "run.toml").write_text("steps = 1\n")
    (folder / "notes.pt").write_text("mine")
    (folder / "notes.csv").write_text("my,table\n1,2\n")
    scored = ("train", "--corpus", "corpus.txt", "--provider", "random", *SMALL)
    done = run_cli(folder, *scored, *options)
    assert done.returncode in FAILED
    assert message in done.stderr
    assert (folder / "notes.pt").read_text() == "mine"
    assert (folder / "notes.csv").read_text() == "my,table\n1,2\n"
    assert (folder / "run.toml").read_text() == "steps = 1\n"
    assert not (folder / "scores").exists()


@needs_root
def test_a_device_is_no_place_for_a_checkpoint(folder: Path) -> None:
    os.mknod(folder / "null.pt", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    done = run_cli(folder, *TRAIN, "--steps", "1", "--out", "null.pt")
    assert done.returncode in FAILED
    assert "is a device" in done.stderr
    assert stat.S_ISCHR((folder / "null.pt").stat().st_mode)


def test_the_log_of_another_run_is_kept_beside(folder: Path) -> None:
    run_cli(folder, *TRAIN, "--steps", "2", "--log", "run.csv")
    before = (folder / "run.csv").read_bytes()
    done = run_cli(folder, *TRAIN, "--steps", "2", "--log", "run.csv")
    assert "run.csv held another run's log, now run.1.csv" in done.stderr
    assert (folder / "run.1.csv").read_bytes() == before


def test_a_log_that_a_crash_has_cut_short_goes_on_after_its_last_whole_record(folder: Path) -> None:
    run_cli(folder, *TRAIN, "--steps", "4", "--log", "run.jsonl", "--out", "own.pt")
    with (folder / "run.jsonl").open("a") as file:
        file.write('{"step": 5, "train_l')
    done = run_cli(
        folder, "train", "--resume", "--out", "own.pt", "--steps", "6", "--log", "run.jsonl"
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "run.jsonl").read_text().count("\n") == 4


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file:
        file.write(bytes(shutil.disk_usage(disk).free))
    return filler


@needs_root
def test_a_disk_without_room_is_told_before_anything_is_scored(
    folder: Path, small_disk: Path
) -> None:
    fill(small_disk)
    scored = ("train", "--corpus", "corpus.txt", "--provider", "random", *SMALL)
    done = run_cli(folder, *scored, "--out", small_disk / "x.pt")
    assert done.returncode in FAILED
    assert "will take about" in done.stderr
    assert "0 MB left: make room" in done.stderr
    assert not list((folder / "scores").glob("*")) or "scored now" not in done.stderr


@needs_root
def test_a_disk_that_fills_up_ends_no_training_and_loses_none(
    small_disk: Path, told: Callable[[], str]
) -> None:
    output = Output.of_new_run(small_disk / "x.pt")
    filler = fill(small_disk)
    output.try_to_save(example_checkpoint())
    output.try_to_save(example_checkpoint())
    said = told()
    assert said.count("Training goes on meanwhile") == 1
    assert "No space left on device" in said
    filler.unlink()
    output.try_to_save(example_checkpoint())
    assert load_checkpoint(small_disk / "x.pt").last == example_checkpoint().last
    filler = fill(small_disk)
    output.save(evolve(example_checkpoint(), corpus="last"))
    assert "So that nothing is lost, the checkpoint is in" in told()
    assert load_checkpoint(output.path).corpus == "last"
    assert output.path.parent != small_disk
    assert not list(small_disk.glob(".*"))


@needs_root
def test_at_a_terminal_a_person_names_the_other_place(small_disk: Path, tmp_path: Path) -> None:
    output = Output.of_new_run(small_disk / "x.pt")
    fill(small_disk)
    asked: list[str] = []
    answers = iter([small_disk / "again.pt", tmp_path / "there.pt"])

    def ask(why: str) -> Path:
        asked.append(why)
        return next(answers)

    output.save(example_checkpoint(), ask)
    assert ["x.pt" in asked[0], "again.pt" in asked[1], len(asked)] == [True, True, 2]
    assert output.path == tmp_path / "there.pt"
    assert load_checkpoint(tmp_path / "there.pt").last == example_checkpoint().last


def test_a_model_too_large_for_any_disk_is_told_at_once(tmp_path: Path) -> None:
    huge = evolve(small_config("position"), vocab_size=1 << 24, n_embd=1 << 16)
    with pytest.raises(CheckpointError, match="will take about"):
        check_space(tmp_path / "x.pt", huge)
