"""A plugin from nothing to green in a fresh environment, and the pages that tell how."""

from __future__ import annotations

import re
import venv
from pathlib import Path

import pytest
from support_guides import Reader
from support_wheels import ROOT, Environment

pytestmark = [pytest.mark.wheels, pytest.mark.guides, pytest.mark.timeout(3600)]

PAGES = (
    "tutorial.md",
    "write-a-provider.md",
    "write-a-chat-provider.md",
    "write-a-cache.md",
    "publish-a-plugin.md",
)


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with nothing in it: each page begins with an installation."""
    folder = tmp_path_factory.mktemp("reader")
    venv.create(folder, with_pip=True)
    return folder / "bin"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_works_to_the_letter(
    programs: Path, wheels: Path, tmp_path: Path, page: str
) -> None:
    assert Reader(programs, wheels, tmp_path).follow(page) >= 2


@pytest.fixture(scope="module")
def author(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with the core, its test kit and a type checker."""
    fresh = Environment(tmp_path_factory.mktemp("author"), wheels)
    fresh.install("llmattn-core[testing]", "mypy")
    return fresh


@pytest.mark.parametrize("kind", ["provider", "chat", "cache"])
def test_each_kind_is_green_as_it_is_written(
    author: Environment, tmp_path: Path, kind: str
) -> None:
    name = f"my-{kind}"
    made = author.run("llmattn", "new-plugin", name, "--kind", kind, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    author.install("-e", str(tmp_path / f"llmattn-{name}"))
    tested = author.run("pytest", f"llmattn-{name}", cwd=tmp_path)
    assert tested.returncode == 0, tested.stdout
    typed = author.run("mypy", "--strict", "src", "tests", cwd=tmp_path / f"llmattn-{name}")
    assert typed.returncode == 0, typed.stdout
    listed = author.run("llmattn", "plugins", cwd=tmp_path)
    assert f"llmattn-{name}" in listed.stdout


def test_a_chat_provider_is_at_most_fifteen_lines_beside_the_template() -> None:
    page = (ROOT / "docs" / "write-a-chat-provider.md").read_text()
    code = page.split("```diff\n")[1].split("```")[0]
    assert 1 <= len(re.findall(r"^\+(?!\+\+ )", code, re.MULTILINE)) <= 15
