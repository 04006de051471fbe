"""A plugin as its author sees llmattn: through the types that the wheels carry."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from support_wheels import Environment

pytestmark = [pytest.mark.wheels, pytest.mark.long]

PLUGIN = Path(__file__).with_name("a_users_plugin.py")
SLIP = 'from llmattn.plugin import Row\n\nRow(3, "the")\n'
CHECKERS = {"mypy": ("mypy", "--strict", "plugin.py"), "pyright": ("pyright",)}
STRICTLY = '{"typeCheckingMode": "strict", "include": ["plugin.py"]}'


@pytest.fixture(scope="module")
def author(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """What a type checker reads: ours from the wheels, and the libraries whose types it shows."""
    fresh = Environment(tmp_path_factory.mktemp("author"), wheels)
    fresh.install("mypy", "pyright[nodejs]", "attrs", "numpy", "pluggy", "hypothesis")
    fresh.install("--no-deps", "llmattn-core", "llmattn-openai")
    return fresh


@pytest.mark.parametrize("checker", CHECKERS)
def test_it_passes_strictly_and_a_slip_does_not(
    author: Environment, tmp_path: Path, checker: str
) -> None:
    shutil.copy(PLUGIN, tmp_path / "plugin.py")
    (tmp_path / "slip.py").write_text(SLIP)
    (tmp_path / "pyrightconfig.json").write_text(STRICTLY)
    good = author.run(*CHECKERS[checker], cwd=tmp_path)
    assert good.returncode == 0, good.stdout + good.stderr
    bad = author.run(checker, "slip.py", cwd=tmp_path)
    assert bad.returncode == 1, bad.stdout + bad.stderr
    assert '"str"' in bad.stdout
