"""``llmattn eval``: loss, perplexity and bits per byte of a text."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from llmattn.training.checkpoint import load_checkpoint
from support_cli import FAILED, run_cli
from support_engine import SMALL, write_corpus

QUICK = ("train", "--corpus", "corpus.txt", "--steps", "10", "--eval-every", "5", *SMALL)


def trained(folder: Path, *options: str) -> Path:
    """``folder`` with a corpus and a checkpoint."""
    write_corpus(folder)
    done = run_cli(folder, *QUICK, *options)
    assert done.returncode == 0, done.stderr
    return folder


def evaluated(folder: Path, *options: str) -> dict[str, Any]:
    """What ``llmattn eval checkpoint.pt`` finds."""
    done = run_cli(folder, "eval", "checkpoint.pt", *options, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model that reads scores of pairs, and a test part held apart."""
    return trained(
        tmp_path_factory.mktemp("pairs"), "--provider", "random", "--test-fraction", "0.2"
    )


def test_validation_part_has_the_loss_that_training_found(pairs: Path) -> None:
    best = load_checkpoint(pairs / "checkpoint.pt").best
    found = evaluated(pairs, "corpus.txt", "--split", "val")
    assert found["loss"] == pytest.approx(best["loss"], abs=1e-6)
    assert found["coverage"] == 1.0


def test_test_part_has_the_loss_that_training_printed(tmp_path: Path) -> None:
    write_corpus(tmp_path)
    done = run_cli(tmp_path, *QUICK, "--attention", "position", "--test-fraction", "0.2")
    found = evaluated(tmp_path, "corpus.txt", "--split", "test")
    assert f"Test loss of these weights: {found['loss']:.4f} nats a token" in done.stdout


def test_loss_of_scores_in_context_is_that_of_training(tmp_path: Path) -> None:
    in_context = ("-o", "random.scope=prefix")
    trained(tmp_path, "--provider", "random", *in_context)
    best = load_checkpoint(tmp_path / "checkpoint.pt").best
    found = evaluated(tmp_path, "corpus.txt", "--split", "val", *in_context)
    assert found["loss"] == pytest.approx(best["loss"], abs=1e-6)


def test_bytes_are_those_of_the_lines(pairs: Path) -> None:
    text = (pairs / "corpus.txt").read_bytes()
    found = evaluated(pairs, "corpus.txt")
    assert found["size"] == len(text)
    assert found["model_bits_per_byte"] == pytest.approx(
        found["loss"] * found["tokens"] / math.log(2) / len(text)
    )
    assert found["perplexity"] == pytest.approx(math.exp(found["loss"]))


@pytest.mark.parametrize("stream", [(), ("--stream",)])
def test_bytes_do_not_depend_on_the_tokenizer(tmp_path: Path, stream: tuple[str, ...]) -> None:
    position = ("--attention", "position", *stream)
    (tmp_path / "other.txt").write_text("the zebra sees the gnu\n\nthe fox, too\n")
    trained(tmp_path, *position)
    words = evaluated(tmp_path, "other.txt")
    trained(tmp_path, *position, "--tokenizer", "bpe", "--vocab-size", "512")
    pieces = evaluated(tmp_path, "other.txt")
    assert words["size"] == pieces["size"]
    assert words["tokens"] < pieces["tokens"]
    assert pieces["unknown"] == 0


def test_unknown_words_cost_eight_bits_a_byte(pairs: Path) -> None:
    (pairs / "other.txt").write_text("the zebra sees the gnu\n")
    found = evaluated(pairs, "other.txt")
    assert (found["unknown"], found["unknown_size"]) == (2, len("zebra" + "gnu"))
    size = len("the zebra sees the gnu\n")
    extra = found["bits_per_byte"] - found["model_bits_per_byte"]
    assert extra == pytest.approx((8 * 8 + found["left_out_bits"]) / size)
    done = run_cli(pairs, "eval", "checkpoint.pt", "other.txt")
    assert "2 unknown words (33.3% of the tokens)" in done.stdout
    assert f"{8 * 8 / size:.4f} to spell unknown words" in done.stdout


def test_case_that_the_tokenizer_leaves_out_is_paid_for(pairs: Path) -> None:
    text = (pairs / "corpus.txt").read_text()
    (pairs / "changed.txt").write_text(text.replace("cat", "CAT").replace("owl", "Owl"))
    plain, changed = (evaluated(pairs, name) for name in ("corpus.txt", "changed.txt"))
    assert changed["model_bits_per_byte"] == plain["model_bits_per_byte"]
    more = (changed["left_out_bits"] - plain["left_out_bits"]) / plain["size"]
    assert more > 0.01
    assert changed["bits_per_byte"] == pytest.approx(plain["bits_per_byte"] + more)
    done = run_cli(pairs, "eval", "checkpoint.pt", "changed.txt")
    assert f"{changed['left_out_bits'] / changed['size']:.4f} for case and spaces" in done.stdout


def test_pairs_that_were_never_scored_are_told(pairs: Path) -> None:
    (pairs / "new.txt").write_text("night sees night at owl hears\n")
    assert evaluated(pairs, "new.txt")["coverage"] < 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("none.txt",), "There is no corpus at none.txt"),
        (("corpus.txt", "--split", "train"), "--split must be one of all, val, test"),
    ],
)
def test_wrong_input_gets_one_clear_line(
    pairs: Path, options: tuple[str, ...], message: str
) -> None:
    done = run_cli(pairs, "eval", "checkpoint.pt", *options)
    assert done.returncode in FAILED
    assert message in done.stderr


def test_test_part_of_a_run_without_one_is_refused(tmp_path: Path) -> None:
    trained(tmp_path, "--attention", "position")
    done = run_cli(tmp_path, "eval", "checkpoint.pt", "corpus.txt", "--split", "test")
    assert "was trained without a test part" in done.stderr
