"""What README and docs show is what comes."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from support_cli import run_cli
from support_environment import built_up
from support_transcripts import commands_of, same
from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser

ROOT = Path(__file__).parents[2]
ELSEWHERE = ("--provider transformers", "llmattn compare", "llmattn doctor")
"""Commands that `make test-guides` runs: they take long, or show what is installed."""


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """A folder in which the files lie that pages speak of."""
    shutil.copytree(ROOT / "examples" / "data", tmp_path / "examples" / "data")
    return tmp_path


def follow(page: str, folder: Path) -> int:
    """Type the blocks of a page, but for installations; how many outputs were compared."""
    compared = 0

    def write(typed: str) -> None:
        if "pip install" not in typed:
            subprocess.run(["bash", "-ec", typed], cwd=folder, env=built_up(folder), check=True)

    def show(example: Example) -> None:
        nonlocal compared
        for command, shown in commands_of(str(example.parsed)):
            if any(each in command for each in ELSEWHERE):
                continue
            program, *arguments = shlex.split(command)
            if program != "llmattn":
                write(command)
                continue
            done = run_cli(folder, *arguments, COLUMNS="80")
            place = f"{example.path}, line {example.line}: {command}\n"
            came = done.stderr + done.stdout
            assert same(shown, came) or same(shown, done.stdout + done.stderr), place + came
            compared += 1

    parsers = [CodeBlockParser("console", show)]
    if page == "docs/tutorial.md":
        parsers.append(CodeBlockParser("bash", lambda example: write(str(example.parsed))))
    for example in Document.parse(str(ROOT / page), *parsers).examples():
        example.evaluate()
    return compared


@pytest.mark.long
@pytest.mark.parametrize(
    ("page", "outputs"), [("README.md", 4), ("docs/tutorial.md", 4), ("docs/cost.md", 1)]
)
def test_a_page_shows_what_comes(reader: Path, page: str, outputs: int) -> None:
    assert follow(page, reader) == outputs


def test_the_error_messages_of_the_questions_are_those_that_come(reader: Path) -> None:
    assert follow("docs/faq.md", reader) == 12
