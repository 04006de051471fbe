"""A run holds its output: a second one hears who has it, before it asks for a score."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from llmattn.held import hold
from support_cli import FAILED, run_cli
from support_engine import write_corpus


@pytest.mark.parametrize(
    ("command", "out"),
    [(("train", "--corpus", "corpus.txt"), "m.pt"), (("compare", "corpus.txt"), "compared")],
)
def test_a_second_run_is_told_who_has_the_output(
    tmp_path: Path, command: tuple[str, ...], out: str
) -> None:
    write_corpus(tmp_path)
    (tmp_path / "compared").mkdir()
    with hold(tmp_path / out, "--out"):
        done = run_cli(tmp_path, *command, "--provider", "random", "--out", out)
    assert done.returncode in FAILED
    assert "is being written by another run" in done.stderr
    assert str(os.getpid()) in done.stderr
    assert not (tmp_path / "scores").exists()


def test_what_was_held_is_free_afterwards(tmp_path: Path) -> None:
    for _ in range(2):
        with hold(tmp_path / "m.pt", "--out"):
            pass
    assert not [*tmp_path.iterdir()]
