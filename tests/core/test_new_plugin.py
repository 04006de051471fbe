"""``llmattn new-plugin``: what it writes works at once, under names of any spelling."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from llmattn.plugins import forget_plugins
from support_cli import run_cli, run_process

QUICK = {"provider": "", "chat": "finds", "cache": "finds"}
"""The tests of each that take a few seconds; all run in tests/wheels/test_guides.py."""
STYLE = ("--isolated", "--no-cache", "--line-length=100", "--target-version=py310")


def installed(folder: Path, name: str) -> str:
    """Make the plugin look installed, as ``pip install -e`` does; gives the path to import from."""
    info = folder / "site" / f"llmattn_{name}-0.1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: llmattn-{name}\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text(f"[llmattn]\n{name} = llmattn_{name}\n")
    return f"{folder / 'site'}:{folder / f'llmattn-{name}' / 'src'}"


@pytest.mark.parametrize("kind", QUICK)
def test_llmattn_finds_it_and_its_tests_pass_as_it_is_written(tmp_path: Path, kind: str) -> None:
    done = run_cli(tmp_path, "new-plugin", "demo", "--kind", kind)
    assert done.returncode == 0, done.stderr
    path = installed(tmp_path, "demo")
    options = ("-q", "-p", "no:cacheprovider", "-k", QUICK[kind], "llmattn-demo")
    tested = run_process(tmp_path, *options, program=("-m", "pytest"), PYTHONPATH=path)
    assert tested.returncode == 0, tested.stdout + tested.stderr


@pytest.mark.parametrize("kind", QUICK)
@pytest.mark.parametrize(
    "checks", [("check", "--select=A,C4,E,F,PT,SIM,UP,W"), ("format", "--check")]
)
def test_its_code_is_in_good_style(tmp_path: Path, kind: str, checks: tuple[str, ...]) -> None:
    assert run_cli(tmp_path, "new-plugin", "demo", "--kind", kind).returncode == 0
    ruff = [sys.executable, "-m", "ruff", *checks, *STYLE, "llmattn-demo"]
    done = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


def test_it_has_one_file_of_code(tmp_path: Path) -> None:
    run_cli(tmp_path, "new-plugin", "demo")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert found == {
        "llmattn-demo/.github/workflows/ci.yml",
        "llmattn-demo/.gitignore",
        "llmattn-demo/LICENSE",
        "llmattn-demo/README.md",
        "llmattn-demo/pyproject.toml",
        "llmattn-demo/src/llmattn_demo/__init__.py",
        "llmattn-demo/src/llmattn_demo/py.typed",
        "llmattn-demo/tests/test_demo.py",
    }


@pytest.mark.parametrize(
    "spelling",
    [
        "my-model",
        "My_Model",
        "my.model",
        " my  model ",
        "LLMATTN-my-model",
        "llmattn-plugin-my_model",
    ],
)
def test_spellings_of_one_name_are_one(tmp_path: Path, spelling: str) -> None:
    assert run_cli(tmp_path, "new-plugin", spelling).returncode == 0
    package = tmp_path / "llmattn-my-model" / "src" / "llmattn_my_model"
    assert "class MyModelProvider" in (package / "__init__.py").read_text()


@pytest.mark.parametrize(
    ("name", "kind", "class_name"),
    [
        ("chat", "chat", "MyChatProvider"),
        ("score", "cache", "MyScoreCache"),
        ("testimony", "provider", "MyTestimonyProvider"),
        ("class", "provider", "ClassProvider"),
    ],
)
def test_a_class_has_no_name_that_is_taken(
    tmp_path: Path, name: str, kind: str, class_name: str
) -> None:
    assert run_cli(tmp_path, "new-plugin", name, "--kind", kind).returncode == 0
    code = (tmp_path / f"llmattn-{name}" / "src" / f"llmattn_{name}" / "__init__.py").read_text()
    assert f"class {class_name}" in code


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "no name for a plugin"),
        ("-_-", "no name for a plugin"),
        ("llmattn", "no name for a plugin"),
        ("../up", "no name for a plugin"),
        ("/tmp/x", "no name for a plugin"),
        ("3d", "begins with a letter"),
        ("größe", "letters from a to z"),
        ("a\x1b[31mb", "no name for a plugin"),
        ("x" * 41, "too long"),
        ("random", "llmattn-core has a provider called 'random' already"),
        ("LMDB", "llmattn-core has a cache called 'lmdb' already"),
        ("core", "llmattn-core is installed already"),
    ],
)
def test_other_names_are_refused_with_a_reason(tmp_path: Path, name: str, said: str) -> None:
    forget_plugins()
    done = run_cli(tmp_path, "new-plugin", "--", name)
    assert done.returncode == 3
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "\x1b" not in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("there", ["folder", "file", "link"])
def test_what_exists_is_left_alone(tmp_path: Path, there: str) -> None:
    target = tmp_path / "llmattn-demo"
    if there == "folder":
        target.mkdir()
    elif there == "file":
        target.write_text("mine")
    else:
        target.symlink_to(tmp_path / "elsewhere")
    done = run_cli(tmp_path, "new-plugin", "demo")
    assert done.returncode == 3
    assert "exists already, and nothing is overwritten" in done.stderr
    assert [path.name for path in tmp_path.rglob("*")] == ["llmattn-demo"]
