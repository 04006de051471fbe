"""What stands beside the arms of a real comparison: an n-gram model and the teacher itself."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from support_cli import run_cli
from support_engine import SMALL
from support_transformers import save_model

LINES = [f"The {a} saw a {b}, and the {b} ran." for a in ("cat", "dog") for b in ("hen", "owl")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("references")
    save_model(folder / "model")
    (folder / "text.txt").write_text("\n".join(LINES * 6), encoding="utf-8")
    return folder


def compared(folder: Path) -> dict[str, Any]:
    options = ("--provider", "transformers", "-o", f"transformers.model={folder / 'model'}")
    course = ("--steps", "4", "--block-size", "12", "--seeds", "1", "--lr", "3e-3", "--jobs", "1")
    arms = ("--arms", "external,position", "--stream", "--min-count", "1")
    shape = SMALL[:-2]
    done = run_cli(folder, "compare", "text.txt", *options, *course, *arms, *shape, "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def found(folder: Path) -> dict[str, Any]:
    return compared(folder)


def test_an_n_gram_model_and_the_teacher_stand_in_the_result(
    folder: Path, found: dict[str, Any]
) -> None:
    n_gram, teacher = found["references"]
    assert n_gram["same_tokens"]
    assert set(n_gram["gain_over"]) == {"position"}
    assert teacher["name"] == "model"
    assert not teacher["gain_over"]
    size = found["test_size"]
    for each in (teacher, n_gram):
        least = each["test_loss"] * size["tokens"] / math.log(2) / size["size"]
        assert each["bits_per_byte"] >= least - 1e-9
    assert teacher["parameters"] > 1000
    assert teacher["seconds_a_token"] > 0
    report = (folder / "comparison" / "report.md").read_text(encoding="utf-8")
    assert f"| ({n_gram['name']}) |" in report
    assert "| (model) |" in report


def test_versions_seeds_and_hashes_of_text_and_scores_are_stated(found: dict[str, Any]) -> None:
    about = found["about"]
    assert about["seeds"] == [0]
    assert {"llmattn-core", "llmattn-transformers", "torch", "transformers"} <= {*about["versions"]}
    assert len(about["text_sha256"]) == 64
    assert len(about["scores"]["external"]["crc32"]) == 8


def test_a_teacher_reads_the_test_text_once(folder: Path, found: dict[str, Any]) -> None:
    first = found["references"][1]
    assert compared(folder)["references"][1] == first  # to the last digit of its seconds
    kept = [p for p in (folder / "comparison/runs").iterdir() if "forecast" in p.read_text()]
    (path,) = kept
    path.write_text(path.read_text(encoding="utf-8")[:-20], encoding="utf-8")
    again = compared(folder)["references"][1]
    assert again["test_loss"] == pytest.approx(first["test_loss"])
