"""What becomes of every kind of text, as the table in docs/corpora.md tells it."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from support_cli import FAILED, environment, run_cli
from support_texts import BODY, KINDS

TABLE = re.findall(
    r"^\| (.+?) \| (.+) \|$",
    (Path(__file__).parents[2] / "docs" / "corpora.md")
    .read_text(encoding="utf-8")
    .partition("| text | what is done or said |\n|---|---|\n")[2]
    .partition("\n\n")[0],
    re.MULTILINE,
)


def plan(folder: Path, path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return run_cli(folder, "plan", path, "--provider", "cooccurrence", "--json", *options)


def test_the_table_and_the_kinds_that_are_tried_agree() -> None:
    assert [kind for kind, _ in TABLE] == list(KINDS)


@pytest.mark.parametrize(("name", "told"), TABLE, ids=[name for name, _ in TABLE])
def test_the_table_tells_what_becomes_of_a_text(tmp_path: Path, name: str, told: str) -> None:
    kind = KINDS[name]
    with ExitStack() as stack:
        done = plan(tmp_path, kind.make(tmp_path, stack), *kind.options)
    quoted = re.findall("`([^`]+)`", told)
    for words in quoted:
        assert words in done.stderr
    fails = bool(quoted) and not told.startswith("read")
    assert done.returncode == fails, done.stderr
    if fails:
        assert done.stderr.startswith("error: ")
        assert len(done.stderr.splitlines()) == 1
        assert done.stdout == ""
    elif not quoted:
        assert done.stderr == ""
    if kind.same_as is not None:
        other = tmp_path / "other.txt"
        other.write_text(kind.same_as, encoding="utf-8")
        assert done.stdout == plan(tmp_path, other, *kind.options).stdout


def test_a_command_that_is_told_mends_the_text(tmp_path: Path) -> None:
    (tmp_path / "story.txt").write_bytes(BODY.encode("utf-16"))
    told = plan(tmp_path, Path("story.txt")).stderr.partition("Convert it: ")[2]
    subprocess.run(told, shell=True, check=True, cwd=tmp_path)
    assert (tmp_path / "story.utf8.txt").read_text(encoding="utf-8") == BODY


@pytest.mark.parametrize("name", ["a pipe without end", "a word of a megabyte, with bpe"])
def test_what_does_not_end_takes_little_memory(tmp_path: Path, name: str) -> None:
    kind, most = KINDS[name], 500 << 20
    with ExitStack() as stack:
        done = subprocess.run(
            [
                *(sys.executable, "-m", "llmattn", "plan", kind.make(tmp_path, stack)),
                *("--provider", "cooccurrence", *kind.options),
            ],
            env=environment(tmp_path),
            capture_output=True,
            text=True,
            check=False,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (most, most)),
        )
    assert done.returncode in FAILED
    assert done.stderr.startswith("error: The corpus")
