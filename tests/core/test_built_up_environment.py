"""What the shell that starts the tests has set reaches no test, and no process of one."""

from __future__ import annotations

import json
import os
from pathlib import Path

from llmattn.settings import environment
from support_cli import run_cli, run_process
from support_environment import OUTER

NONSENSE = {
    "ALL_PROXY": "http://127.0.0.1:9",
    "COLUMNS": "40",
    "CUSTOM_BASE_URL": "x",
    "FORCE_COLOR": "1",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "LC_ALL": "C",
    "LLMATTN_CACHE_DIR": "/nonexistent",
    "LLM_MODEL": "foo",
    "LLM_PROVIDER": "nonsense",
    "OPENAI_API_KEY": "a key with space",
    "PYTHONWARNINGS": "error",
    "WORLD_SIZE": "4",
    "http_proxy": "http://127.0.0.1:9",
}
SHOW = ("-c", "import json, os; print(json.dumps(dict(os.environ)))")
ALLOWED = {
    *("COLUMNS", "COVERAGE_PROCESS_START", "HOME", "LANG", "LD_LIBRARY_PATH", "NO_COLOR"),
    *("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "PATH", "TMPDIR"),
    *("LC_CTYPE", "PYTEST_CURRENT_TEST"),  # Python's and pytest's own
}


def ours(environ: dict[str, str]) -> set[str]:
    """Names of variables but those that xdist and torch set for themselves."""
    theirs = ("PYTEST_VERSION", "PYTEST_XDIST_", "TORCH", "KMP_", "HYPOTHESIS_")
    return {name for name in environ if not name.startswith(theirs)}


def test_a_test_sees_no_more_than_was_built_up() -> None:
    assert ours(dict(os.environ)) <= ALLOWED
    assert ours(environment()) <= ALLOWED
    assert Path(os.environ["HOME"]).is_dir()
    assert os.environ["HOME"] != OUTER.get("HOME")
    assert os.environ.get("OMP_WAIT_POLICY") == OUTER.get("OMP_WAIT_POLICY")


def test_its_processes_see_that_and_a_cache(tmp_path: Path) -> None:
    seen = json.loads(run_process(tmp_path, program=SHOW, LLM_MODEL="given").stdout)
    assert seen.pop("LLM_MODEL") == "given"
    assert seen.pop("LLMATTN_CACHE_DIR") == str(tmp_path / "scores")
    assert ours(seen) <= ALLOWED
    assert seen["HOME"] == os.environ["HOME"]


def test_what_a_command_in_the_process_is_given_or_sets_ends_with_it(tmp_path: Path) -> None:
    before = dict(os.environ)
    assert run_cli(tmp_path, "plugins", LLMATTN_DISABLE_PLUGINS="random").returncode == 0
    run_cli(tmp_path, "train", "--corpus", "missing.txt")  # it sets OMP_WAIT_POLICY
    assert dict(os.environ) == before


def test_neither_the_shell_nor_a_dotenv_above_changes_what_a_test_sees(tmp_path: Path) -> None:
    lines = [f"{name}='{value}'\n" for name, value in NONSENSE.items()]
    (tmp_path / ".env").write_text("".join(lines))
    root = Path(__file__).parents[2]
    facts = (test_a_test_sees_no_more_than_was_built_up, test_its_processes_see_that_and_a_cache)
    done = run_process(
        tmp_path,
        *("-q", "-n0", "-p", "no:cacheprovider", "-c", root / "pyproject.toml"),
        *("--basetemp", tmp_path / "base", *(f"{__file__}::{fact.__name__}" for fact in facts)),
        program=("-m", "pytest"),
        **NONSENSE,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
