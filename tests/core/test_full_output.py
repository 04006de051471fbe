"""Output to a device that takes nothing, and files that cannot be written: no fault of llmattn."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from support_cli import run_cli, start_process


@pytest.fixture
def full(tmp_path: Path) -> Path:
    """A device of our own that is always full."""
    try:
        os.mknod(tmp_path / "full", 0o600 | stat.S_IFCHR, os.makedev(1, 7))
        (tmp_path / "full").open("wb").close()
    except PermissionError:
        pytest.skip("only root makes devices, and not everywhere")
    return tmp_path / "full"


@pytest.mark.parametrize("command", [("plugins",), ("--help",), ("cache", "path")])
def test_full_output_is_told_in_one_line(
    full: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    with full.open("w") as out:
        process = start_process(tmp_path, *command, stdout=out)
        _, told = process.communicate()
    assert process.returncode == 1
    assert told.count("\n") == 1
    assert "The output cannot be written (No space left on device)" in told


def test_a_file_in_place_of_a_folder_is_no_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run_cli(tmp_path, "cache", "export", "file/x.jsonl", "--cache-dir", "c")
    assert done.returncode == 1
    assert "cannot be" in done.stderr
    assert "fault in llmattn" not in done.stderr
