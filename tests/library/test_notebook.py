"""The notebook in examples/, from its first cell to its last in a kernel of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support_cli import run_process

NOTEBOOK = Path(__file__).parents[2] / "examples" / "first_steps.ipynb"

EXECUTE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.NotebookClient(notebook, timeout=240, kernel_name="python3").execute()
nbformat.write(notebook, "done.ipynb")
"""


def cells(path: Path) -> list[Any]:
    found = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return [cell for cell in found if cell["cell_type"] == "code"]


def test_the_notebook_holds_no_output_and_is_small() -> None:
    for cell in cells(NOTEBOOK):
        assert (cell["outputs"], cell["execution_count"]) == ([], None)
    assert NOTEBOOK.stat().st_size < 10_000


@pytest.mark.long
def test_the_notebook_runs_from_the_scores_to_a_comparison(tmp_path: Path) -> None:
    done = run_process(tmp_path, str(NOTEBOOK), program=("-c", EXECUTE), OMP_NUM_THREADS="1")
    assert done.returncode == 0, done.stderr[-3000:]
    shown = cells(tmp_path / "done.ipynb")
    kinds = [kind for cell in shown for out in cell["outputs"] for kind in out.get("data", {})]
    assert (kinds.count("text/html"), kinds.count("image/png")) == (4, 2)
    streams = [out for cell in shown for out in cell["outputs"] if out["output_type"] == "stream"]
    lines = "".join("".join(out["text"]) for out in streams).splitlines()
    assert (len(lines), [line[:7] for line in lines]) == (3, ["the owl"] * 3)
