"""Values of a configuration file that no command line could hold are named, not passed on."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_cli import run_cli


@pytest.mark.parametrize(
    "line",
    [
        "steps = [1, 2]",
        "steps = {a = 1}",
        "steps = true",
        "lr = 1979-05-27",
        "stream = 1",
        'provider = "random"',
        'provider = [["random"]]',
        "option = 7",
        "cache-dir = []",
    ],
)
def test_value_of_another_kind_names_the_option(tmp_path: Path, line: str) -> None:
    (tmp_path / "x.toml").write_text(line)
    done = run_cli(tmp_path, "train", "--config", "x.toml")
    assert done.returncode == 3
    assert f"x.toml: {line.split()[0].replace('-', '_')}" in done.stderr
    assert "is no value of that option" in done.stderr


@pytest.mark.parametrize(
    "line",
    ["n-layer = 1000000000", "n-embd = 4398046511104", "grad-accum = 10000000000", "lr = inf"],
)
def test_number_beyond_all_bounds_is_refused_before_anything_is_built(
    tmp_path: Path, line: str
) -> None:
    (tmp_path / "corpus.txt").write_text("a b\n" * 20)
    (tmp_path / "x.toml").write_text(f'{line}\nattention = "learned"\n')
    done = run_cli(tmp_path, "train", "--config", "x.toml", "--corpus", "corpus.txt")
    assert done.returncode == 3
    assert f"--{line.split()[0]} must be" in done.stderr
