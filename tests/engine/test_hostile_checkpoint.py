"""Checkpoints that somebody has altered: nothing more is made of a file than it holds."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from llmattn.errors import CheckpointError
from llmattn.training.checkpoint import load_checkpoint, save_checkpoint
from llmattn.training.torch_file import read_torch_file
from support_cli import FAILED, run_cli
from support_engine import example_checkpoint as example
from support_engine import write_corpus


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "checkpoint.pt"
    save_checkpoint(file, example())
    return file


Data = dict[str, Any]


def altered(path: Path, change: Callable[[Data], None]) -> Path:
    data = torch.load(path, weights_only=True)
    change(data)
    torch.save(data, path)
    return path


def put(part: str, name: str | int, value: Any) -> Callable[[Data], None]:
    def change(data: Data) -> None:
        data[part][name] = value

    return change


def made_of_the_same_numbers(weights: Data) -> Data:
    """A model of any number of layers in a file with the numbers of one."""
    numbers = torch.zeros(max(value.numel() for value in weights.values()))
    return {name: numbers[: value.numel()].view(value.shape) for name, value in weights.items()}


ONE = torch.zeros(1)


@pytest.mark.parametrize(
    "change",
    [
        put("model_config", "n_layer", 10**9),
        put("model_config", "n_layer", 2.0),
        put("model_config", "n_embd", 2**40),
        put("model_config", "n_head", 0),
        put("model_config", "block_size", 10**12),
        put("model_config", "vocab_size", 10**12),
        put("model_config", "vocab_size", 13),
        put("model_config", "dropout", float("nan")),
        put("model_config", "channels", ["one"]),
        put("model_config", "channels", [1, 2]),
        put("model_config", "channels", "ab"),
        put("model_config", "per_layer", 1),
        put("model_config", "\x1b[31m", 1),
        put("train_config", "grad_accum", 10**12),
        put("train_config", "lr", float("inf")),
        put("train_config", "seed", 10**18 * 10),
        put("train_config", "stream", "yes"),
        put("weights", "norm.weight", torch.zeros(1).expand(8)),
        put("weights", "norm.weight", torch.full((8,), float("nan"))),
        put("weights", "norm.weight", torch.zeros(8, dtype=torch.int64)),
        put("weights", "norm.weight", [0.0] * 8),
        put("weights", "another.weight", torch.zeros(8)),
        lambda data: data["weights"].update(made_of_the_same_numbers(data["weights"])),
        put("weights", 7, torch.zeros(8)),
        put("table", "vocab_size", 10**9),
        put("table", "query_ids", ONE.expand(10**12)),
        put("table", "scores", torch.zeros(2, 0)),
        put("table", "absent", [None]),
        put("best", "loss", None),
        put("best", "step", -1),
        lambda data: data.pop("control"),
        lambda data: data.update(version=torch.zeros(3)),
        lambda data: data.update(table=[]),
        lambda data: data.update(weights=None),
        lambda data: data.update(last=None),
        lambda data: data.update(best=[]),
        lambda data: data.update(scored=None),
        lambda data: data.update(scored=[None]),
        lambda data: data.update(coverage=float("nan")),
        lambda data: data.update(coverage=2),
        lambda data: data.update(corpus="a\0b"),
        lambda data: data.update(corpus_digest=7),
        lambda data: data["scored"].append(data["scored"][0]),
        lambda data: data["scored"][0]["identity"].update(provider=7),
        lambda data: data["tokenizer"]["vocabulary"].append("more"),
        lambda data: data["tokenizer"]["vocabulary"].pop(),
    ],
)
def test_altered_part_is_refused(path: Path, change: Callable[[Data], None]) -> None:
    with pytest.raises(CheckpointError, match=r"damaged|larger than what it holds"):
        load_checkpoint(altered(path, change))


@pytest.mark.parametrize(
    "value",
    [
        ONE.expand(10**12),
        torch.zeros(3, 4).as_strided((2, 2), (0, 0)).expand(10**6, 2, 2),
        torch.eye(3).to_sparse(),
        torch.zeros(2, device="meta"),
        torch.nn.Parameter(ONE),
        torch.zeros(2, dtype=torch.complex64),
        torch.Size([1]),
        torch.float32,
        bytearray(3),
        b"abc",
        {1, 2},
        1j,
        10**30,
    ],
    ids=str,
)
def test_file_with_more_than_plain_values_and_whole_tensors_is_refused(
    tmp_path: Path, value: object
) -> None:
    torch.save({"a": value}, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match=r"x\.pt"):
        read_torch_file(tmp_path / "x.pt")


def test_views_and_shared_tensors_are_read_as_they_were(tmp_path: Path) -> None:
    whole = torch.arange(12.0)
    saved = {"a": whole, "b": whole.view(3, 4).T, "c": whole[4:6], "d": torch.zeros(0, 3)}
    torch.save(saved, tmp_path / "x.pt")
    found = read_torch_file(tmp_path / "x.pt")
    assert all(torch.equal(found[name], value) for name, value in saved.items())


def rewritten(path: Path, records: Mapping[str, bytes], kind: int = zipfile.ZIP_STORED) -> None:
    """Write an archive anew, with some of its records changed."""
    with zipfile.ZipFile(path) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    folder = next(iter(found)).split("/")[0]
    found.update({f"{folder}/{name}": data for name, data in records.items()})
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", kind) as archive:
        for name, data in found.items():
            archive.writestr(name, data)
    path.write_bytes(written.getvalue())


def test_compressed_records_are_refused(path: Path) -> None:
    rewritten(path, {"data/0": bytes(100_000_000)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1_000_000
    with pytest.raises(CheckpointError, match="compressed"):
        load_checkpoint(path)


def test_record_shorter_than_its_tensor_is_refused(path: Path) -> None:
    rewritten(path, {"data/0": b"\0" * 4})
    with pytest.raises(CheckpointError, match="not as long as it should be"):
        load_checkpoint(path)


def test_flipped_bit_in_a_tensor_is_found(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        record = next(r for r in archive.infolist() if r.filename.endswith("data/0"))
    data = bytearray(path.read_bytes())
    data[record.header_offset + record.file_size // 2 + 64] ^= 1
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match="truncated, damaged or no checkpoint"):
        load_checkpoint(path)


NESTED = b"".join(b"h%ch%c\x86q%c" % (n, n, n + 1) for n in range(60))
"""A pair of pairs of pairs, whose hash takes 2 ** 60 steps."""
COLLIDING = b"".join(
    b"\x8a%c%bK\x01" % (size, (n * (2**61 - 1)).to_bytes(size, "little"))
    for size, n in ((18, n) for n in range(100_000))
)
"""Whole numbers of one hash, each with a value."""
STORAGE = b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuM\x90\x01tQ"
TENSOR = b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n(" + STORAGE
ENDLESS = b"(" + b"J\xff\xff\xff\x7f" * 500_000 + b"t"
"""A shape whose size is a number of 15 million digits."""


@pytest.mark.parametrize(
    "index",
    [
        b"\x80\x02K\x01\x85q\x00" + NESTED + b"}h\x3cK\x01s.",
        b"\x80\x02}(" + COLLIDING + b"u.",
        TENSOR + b"K\x00" + ENDLESS + ENDLESS + b"tR.",
        TENSOR + b"K\x00]]tR.",
        TENSOR + b"\x8a\x09" + b"\xff" * 8 + b"\0K\x01\x85K\x01\x85tR.",
        b"\x80\x02(((K\x01a.",
        b"\x80\x02}(K\x01u.",
        b"\x80\x02N(\x86.",
        b"\x80\x02h\x07.",
        b"\x80\x02NN.",
        b"\x80\x02NQ.",
        b"\x80\x02X\x18\0\0\0torch._utils._rebuild_ten)R.",
        b"\x80\x02r\xff\xff\xff\x7f.",  # a place in the memo that takes 16 GB
        b"\x80\x02X\xff\xff\xff\x7fabc.",  # a text of 2 GB
        b"\x80\x02ctorch\nFloatStorage\nJ\xff\xff\xff\x7f\x85R.",  # a storage of 8 GB
        b"\x80\x02cposix\nsystem\nX\x02\0\0\0id\x85R.",
        b"\x80\x02" + b"]" * 100 + b"a" * 99 + b".",
        b"\x80\x02]q\x00h\x00a.",  # a list within itself
        b"\x80\x02(lp0\n.",
        b"\x80\x02N",
        b"",
    ],
)
def test_index_that_takes_more_than_it_holds_is_refused(path: Path, index: bytes) -> None:
    rewritten(path, {"data.pkl": index})
    with pytest.raises(CheckpointError, match=r"checkpoint\.pt"):
        load_checkpoint(path)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"the cat sees the dog\n" * 300, "is a text, and no checkpoint"),
        ("naïve 日本語\n".encode() * 900, "is a text, and no checkpoint"),
        (b"", "is empty"),
        (np.random.default_rng(0).bytes(5000), "is binary data, and no checkpoint"),
        (pickle.dumps({"a": 1}), "bare pickle"),
    ],
    ids=["text", "more text", "empty", "noise", "pickle"],
)
def test_file_of_another_kind_is_said_to_be_what_it_is(
    tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=said):
        load_checkpoint(tmp_path / "x.pt")


def test_device_pipe_and_folder_in_place_of_a_checkpoint_end_in_a_message(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (Path("/dev/zero"), Path("/dev/null"), tmp_path / "pipe", tmp_path):
        with pytest.raises(CheckpointError, match=str(place)):
            load_checkpoint(place)


@pytest.mark.parametrize(
    "change",
    [
        put("last", "step", "many"),
        put("last", "step", None),
        put("last", "seconds", float("nan")),
        put("last", "model", {}),
        put("last", "asked", []),
        put("last", "launch", None),
        put("last", "optimizer", {}),
        lambda data: data["last"]["optimizer"]["state"].pop(0),
        lambda data: data["last"]["optimizer"]["state"][0].update(exp_avg=torch.zeros(2)),
        lambda data: data["last"]["optimizer"]["state"][0].update(step="x"),
        lambda data: data["last"]["model"].update(made_of_the_same_numbers(data["last"]["model"])),
        lambda data: [
            values.update(exp_avg_sq=values["exp_avg"])
            for values in data["last"]["optimizer"]["state"].values()
        ],
        lambda data: data["last"]["optimizer"]["state"][0].update(
            exp_avg_sq=data["last"]["optimizer"]["state"][0]["exp_avg"] * float("nan")
        ),
    ],
)
def test_altered_state_of_training_is_not_taken_up(
    trained: Path, tmp_path: Path, change: Callable[[Data], None]
) -> None:
    write_corpus(tmp_path)
    file = tmp_path / "checkpoint.pt"
    file.write_bytes((trained / "checkpoint.pt").read_bytes())
    altered(file, change)
    done = run_cli(tmp_path, "train", "--resume", "--corpus", "corpus.txt")
    assert done.returncode in FAILED
    assert "error: checkpoint.pt: it" in done.stderr
    assert "train anew without --resume" in done.stderr


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    write_corpus(folder)
    small = ("--n-layer", "1", "--n-head", "1", "--n-embd", "8", "--attention", "learned")
    done = run_cli(folder, "train", "--corpus", "corpus.txt", "--steps", "2", *small)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", ["norm.weight", "attention.tau", "blocks.0.mlp_in.weight"])
@pytest.mark.parametrize(
    "command",
    [
        ("sample", "--checkpoint", "checkpoint.pt", "--prompt", "a b"),
        ("eval", "checkpoint.pt", "corpus.txt"),
    ],
)
def test_weights_that_overflow_end_in_a_message(
    path: Path, name: str, command: tuple[str, ...]
) -> None:
    (path.parent / "corpus.txt").write_text("a b c\n" * 9)
    altered(path, lambda data: data["weights"][name].fill_(3e38))
    done = run_cli(path.parent, *command)
    assert done.returncode in FAILED
    assert "too large for a number" in done.stderr
