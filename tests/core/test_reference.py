"""What is said of an option: once, and the same in the reference as in the commands."""

from __future__ import annotations

import ast
import runpy
import subprocess
import sys
from collections import Counter
from pathlib import Path

import llmattn
import pytest

DOCS = Path(__file__).parents[2] / "docs"


def test_the_reference_is_in_step_with_the_commands() -> None:
    made = runpy.run_path(str(DOCS / "make_commands.py"))["page"]()
    written = (DOCS / "commands.md").read_text(encoding="utf-8")
    assert written == made, "an option has changed: make reference"


@pytest.mark.skipif(sys.version_info < (3, 11), reason="llmattn-vendors needs Python 3.11")
def test_the_pages_on_settings_and_names_are_in_step_with_the_code() -> None:
    pages = [
        page
        for maker in ("make_settings.py", "make_api_pages.py")
        for page in runpy.run_path(str(DOCS / maker))["PAGES"].items()
    ]
    assert len(pages) == 3
    for file, page in pages:
        assert (DOCS / file).read_text(encoding="utf-8") == page(), "it has changed: make reference"


def test_no_help_of_an_option_is_written_twice() -> None:
    texts: Counter[str] = Counter()
    for path in Path(llmattn.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.keyword) or node.arg != "help":
                continue
            if isinstance(node.value, (ast.Constant, ast.JoinedStr)):
                texts[ast.unparse(node.value)] += 1
    assert sum(texts.values()) > 100
    assert [text for text, count in texts.items() if count > 1] == []


def test_settings_are_read_without_torch_or_typer() -> None:
    code = (
        "import sys, llmattn.comparing.config, llmattn.sampling.options, llmattn.training.config\n"
        "print(sorted({'torch', 'numpy', 'typer', 'openai'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
