"""Each published table has a file of settings, and a command that makes it again."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from support_cli import run_cli

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "examples" / "evidence").glob("*.toml"))
EXAMPLES = sorted((ROOT / "examples").glob("*.toml"))


@pytest.mark.parametrize("file", [*FILES, *EXAMPLES], ids=lambda file: file.stem)
def test_settings_of_a_table_are_understood(tmp_path: Path, file: Path) -> None:
    done = run_cli(tmp_path, "compare", "missing.txt", "--config", file)
    assert done.returncode != 0
    assert "missing.txt" in done.stderr  # all else is in order
    assert not [*tmp_path.rglob("scores.mdb")]


@pytest.mark.skipif(shutil.which("make") is None, reason="needs make")
@pytest.mark.parametrize("name", [*(file.stem for file in FILES), "prototype"])
def test_a_target_makes_each_table_again(name: str) -> None:
    told = ("SHAKESPEARE=plays.txt", "KJV=bible.txt")
    done = subprocess.run(
        ["make", "--dry-run", f"evidence-{name}", *told], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (command,) = [line for line in done.stdout.splitlines() if " compare " in line]
    wanted = "island.txt" if "island" in name else "bible.txt" if "kjv" in name else "plays.txt"
    assert wanted in command


def test_every_table_is_listed() -> None:
    listed = subprocess.run(
        ["make", "evidence"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = {line.removeprefix("make evidence-") for line in listed.stdout.split("\n") if line}
    assert names == {*(file.stem for file in FILES), "prototype"}
