"""What ``llmattn train`` does by its extras: TensorBoard's curves, compiled models."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
from support_cli import FAILED, run_cli
from support_engine import SMALL, write_corpus

QUICK = (
    *("train", "--corpus", "corpus.txt", "--eval-every", "5", "--attention", "position"),
    *("--dropout", "0", *SMALL),
)


def curves(folder: Path) -> list[tuple[int, str, float]]:
    """Step, name and value of each point in the event files of a folder."""
    event: Any = pytest.importorskip("tensorboardX.proto.event_pb2").Event
    found = []
    for file in sorted(folder.iterdir()):
        data, place = file.read_bytes(), 0
        while place < len(data):  # length, its checksum, an event, its checksum
            (length,) = struct.unpack_from("<Q", data, place)
            one = event.FromString(data[place + 12 : place + 12 + length])
            found += [(one.step, v.tag, v.simple_value) for v in one.summary.value]
            place += length + 16
    return found


def test_curves_are_written_for_tensorboard_and_go_on_with_the_run(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    write_corpus(tmp_path)
    board = ("--tensorboard", "curves", "--log", "log.csv")
    assert run_cli(tmp_path, *QUICK, "--steps", "10", *board).returncode == 0
    more = run_cli(tmp_path, "train", "--resume", "--steps", "15", *board)
    assert more.returncode == 0, more.stderr
    points = curves(tmp_path / "curves")
    logged = [line.split(",") for line in (tmp_path / "log.csv").read_text().splitlines()[1:]]
    found = [(step, value) for step, name, value in points if name == "loss/validation"]
    assert [step for step, _ in found] == [0, 5, 10, 15]
    assert [value for _, value in found] == pytest.approx([float(row[2]) for row in logged])
    assert {name for _, name, _ in points} == {
        *("loss/validation", "loss/training", "learning_rate", "tokens_a_second")
    }


def test_curves_into_a_file_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("tensorboardX")
    write_corpus(tmp_path)
    done = run_cli(tmp_path, *QUICK, "--steps", "5", "--tensorboard", "corpus.txt")
    assert done.returncode in FAILED
    assert "--tensorboard: the folder corpus.txt cannot be made" in done.stderr


def test_without_a_compiler_compile_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_corpus(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CXX", raising=False)
    done = run_cli(tmp_path, *QUICK, "--steps", "5", "--compile")
    assert done.returncode in FAILED
    assert "--compile needs a C++ compiler" in done.stderr


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.filterwarnings("ignore")  # torch's compiler warns of itself
def test_compiled_model_has_the_losses_of_the_plain_one(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    stream = ("--stream", "--block-size", "16", "--batch-size", "8", "--steps", "10")
    run_cli(tmp_path, *QUICK, *stream, "--log", "plain.csv")
    done = run_cli(tmp_path, *QUICK, *stream, "--log", "compiled.csv", "--compile")
    assert done.returncode == 0, done.stderr
    plain, compiled = (
        [float(line.split(",")[2]) for line in (tmp_path / name).read_text().splitlines()[1:]]
        for name in ("plain.csv", "compiled.csv")
    )
    assert compiled == pytest.approx(plain, abs=1e-4)
