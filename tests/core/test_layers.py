"""The layers of docs/architecture.md are those that `make check` holds the code against."""

from __future__ import annotations

import re
from pathlib import Path

import llmattn
from llmattn.untrusted import from_toml

ROOT = Path(__file__).parents[2]


def table() -> list[set[str]]:
    """The packages of each row, from the top."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    section = text.split("\n## The layers\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return [set(re.findall(r"`([^`]+)`", row)) for row in rows]


def contract() -> list[set[str]]:
    """The same as import-linter reads it, from the top of the table."""
    settings = from_toml(ROOT / "pyproject.toml")
    layers, _ = settings["tool"]["importlinter"]["contracts"]
    assert layers["exhaustive"]
    return [set(layer.split(" : ")) for layer in reversed(layers["layers"])]


def test_the_table_and_the_contract_agree() -> None:
    assert table() == contract()


def test_the_table_holds_every_module_of_the_package() -> None:
    package = Path(llmattn.__file__).parent
    modules = {path.stem for path in package.glob("*.py")}
    modules |= {path.parent.name for path in package.glob("*/__init__.py")}
    assert set().union(*table()) == modules - {"__init__"}
