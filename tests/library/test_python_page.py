"""The code blocks of docs/python.md run, one after the other."""

from __future__ import annotations

from pathlib import Path

import llmattn
import pytest
import torch
from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

torch.set_num_threads(1)  # the models are tiny

PAGE = Path(__file__).parents[2] / "docs" / "python.md"


def test_the_page_on_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LLMATTN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    examples = [*Sybil([PythonCodeBlockParser()]).parse(PAGE).examples()]
    assert len(examples) == 6
    for example in examples:
        example.evaluate()


def test_the_page_on_python_names_all_there_is() -> None:
    table = PAGE.read_text(encoding="utf-8").partition("## The names")[2]
    assert [name for name in llmattn.__all__ if f"`{name}`" not in table] == []
