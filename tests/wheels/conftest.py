"""Builds the wheels and installs them into fresh virtual environments."""

from __future__ import annotations

import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MEMBERS = [
    "core",
    *(str(path.parent.relative_to(ROOT)) for path in ROOT.glob("plugins/*/pyproject.toml")),
]


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of every distribution."""
    folder = tmp_path_factory.mktemp("wheels")
    for member in MEMBERS:
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder]
        subprocess.run([*build, ROOT / member], check=True, capture_output=True, timeout=120)
    return folder


class Environment:
    """A fresh virtual environment that has nothing but what is installed into it."""

    def __init__(self, folder: Path, wheels: Path) -> None:
        self.bin = folder / "bin"
        self._wheels = wheels
        venv.create(folder, with_pip=True)

    def install(self, *names: str) -> None:
        """pip install, ours from the wheels and everything else as the constraints say."""
        pip = [self.bin / "python", "-m", "pip", "--disable-pip-version-check", "install", "-q"]
        more = ["--constraint", ROOT / "constraints.txt", "--find-links", self._wheels]
        done = subprocess.run(
            [*pip, *more, *names], capture_output=True, text=True, timeout=280, check=False
        )
        assert done.returncode == 0, done.stderr

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run an installed command, with none of our source tree on the path."""
        return subprocess.run(
            [self.bin / command[0], *command[1:]],
            capture_output=True,
            text=True,
            timeout=120,
            cwd=cwd,
            env={"PATH": str(self.bin), "HOME": str(cwd), "COLUMNS": "200"},
            check=False,
        )


@pytest.fixture(scope="session")
def environment(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with llmattn-core alone."""
    fresh = Environment(tmp_path_factory.mktemp("fresh"), wheels)
    fresh.install("llmattn-core")
    return fresh
