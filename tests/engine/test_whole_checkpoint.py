"""A flipped bit anywhere in a checkpoint or an exported folder is told by whatever reads it."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from llmattn.errors import CheckpointError
from llmattn.training.checkpoint import load_checkpoint
from support_cli import run_cli

OPTIONS = (
    *("--corpus", "corpus.txt", "--steps", "2", "--eval-every", "1", "--batch-size", "4"),
    *("--n-layer", "1", "--n-head", "2", "--n-embd", "8", "--block-size", "8", "--min-count", "1"),
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a corpus, a checkpoint and an export of it."""
    folder = tmp_path_factory.mktemp("made")
    animals, verbs = ("cat", "dog", "owl"), ("sees", "likes", "hears")
    lines = [f"the {a} {v} the {b} ." for a in animals for v in verbs for b in animals]
    (folder / "corpus.txt").write_text("\n".join(lines) + "\n")
    done = run_cli(folder, "train", "--out", "m.pt", "--provider", "cooccurrence", *OPTIONS)
    assert done.returncode == 0, done.stderr
    assert run_cli(folder, "export", "m.pt", "--safetensors", "export").returncode == 0
    return folder


def flipped(data: bytes, draw: random.Random) -> bytes:
    changed = bytearray(data)
    changed[draw.randrange(len(data))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def test_each_of_60_flipped_bits_of_a_checkpoint_is_told(made: Path, tmp_path: Path) -> None:
    whole, file = (made / "m.pt").read_bytes(), tmp_path / "m.pt"
    draw = random.Random(0)
    for _ in range(60):
        file.write_bytes(flipped(whole, draw))
        with pytest.raises(CheckpointError):
            load_checkpoint(file)


def test_each_flipped_bit_of_a_checkpoints_last_bytes_is_told(made: Path, tmp_path: Path) -> None:
    whole, file = (made / "m.pt").read_bytes(), tmp_path / "m.pt"
    for place in range(1, 130):
        changed = bytearray(whole)
        changed[-place] ^= 1 << place % 8
        file.write_bytes(changed)
        with pytest.raises(CheckpointError):
            load_checkpoint(file)


def test_a_checkpoint_cut_anywhere_at_its_end_is_told(made: Path, tmp_path: Path) -> None:
    whole, file = (made / "m.pt").read_bytes(), tmp_path / "m.pt"
    for kept in range(len(whole) - 130, len(whole)):
        file.write_bytes(whole[:kept])
        with pytest.raises(CheckpointError):
            load_checkpoint(file)


def test_each_of_60_flipped_bits_of_an_exported_folder_is_told(made: Path, tmp_path: Path) -> None:
    folder = tmp_path / "export"
    shutil.copytree(made / "export", folder)
    draw = random.Random(0)
    files = sorted(folder.iterdir())
    for _ in range(60):
        file = draw.choice(files)
        whole = file.read_bytes()
        file.write_bytes(flipped(whole, draw))
        with pytest.raises(CheckpointError):
            load_checkpoint(folder)
        file.write_bytes(whole)
    load_checkpoint(folder)


COMMANDS = [
    ("sample", "--checkpoint", "bad.pt", "--prompt", "the cat", "--max-new", "4"),
    ("eval", "bad.pt", "corpus.txt"),
    ("show", "bad.pt", "--text", "the cat"),
    ("export", "bad.pt", "--safetensors", "exported"),
    ("train", "--resume", "--out", "bad.pt", "--corpus", "corpus.txt"),
]


def flip_a_weight(data: bytes) -> bytes:
    changed = bytearray(data)
    changed[len(data) // 2] ^= 4
    return bytes(changed)


def flip_padding(data: bytes) -> bytes:
    """What no reader of archives looks at."""
    changed = bytearray(data)
    changed[data.index(b"FB") + 6] ^= 1
    return bytes(changed)


@pytest.mark.parametrize("damage", [flip_a_weight, flip_padding])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_every_command_refuses_a_damaged_checkpoint(
    made: Path, tmp_path: Path, command: tuple[str, ...], damage: Callable[[bytes], bytes]
) -> None:
    shutil.copy(made / "corpus.txt", tmp_path)
    bad = damage((made / "m.pt").read_bytes())
    (tmp_path / "bad.pt").write_bytes(bad)
    done = run_cli(tmp_path, *command)
    assert done.returncode != 0
    assert "bad.pt" in done.stderr
    assert "damaged" in done.stderr
    assert "fault in llmattn" not in done.stderr
    assert (tmp_path / "bad.pt").read_bytes() == bad


def test_a_checkpoint_without_digest_is_taken_with_one_line_that_says_so(
    made: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "theirs.pt"
    torch.save(torch.load(made / "m.pt", weights_only=True), file)
    load_checkpoint(file)
    assert caplog.text.count("has no digest") == 1


def test_a_whole_checkpoint_and_folder_say_nothing(
    made: Path, caplog: pytest.LogCaptureFixture
) -> None:
    load_checkpoint(made / "m.pt")
    load_checkpoint(made / "export")
    assert caplog.text == ""
