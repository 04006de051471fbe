"""A fresh virtual environment to install wheels into."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

from support_environment import OUTER

ROOT = Path(__file__).parents[1]
MEMBERS = [
    "core",
    *(str(path.parent.relative_to(ROOT)) for path in ROOT.glob("plugins/*/pyproject.toml")),
]


def build_wheels(folder: Path) -> Path:
    """Build the wheel of every distribution into ``folder``."""
    for member in MEMBERS:
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
        where = ["--outdir", str(folder), str(ROOT / member)]
        subprocess.run([*build, *where], check=True, capture_output=True, timeout=120)
    return folder


class Environment:
    """A fresh virtual environment that has nothing but what is installed into it."""

    def __init__(self, folder: Path, wheels: Path) -> None:
        self.bin = folder / "bin"
        self._wheels = wheels
        venv.create(folder, with_pip=True)

    def install(self, *names: str) -> None:
        """pip install, ours from the wheels and everything else as the constraints say. What pip
        needs to reach an index on this machine is in the outer environment.
        """
        python = str(self.bin / "python")
        pip = [python, "-m", "pip", "--disable-pip-version-check", "install", "-q"]
        more = ["--constraint", str(ROOT / "constraints.txt"), "--find-links", str(self._wheels)]
        done = subprocess.run(
            [*pip, *more, *names], env=OUTER, capture_output=True, text=True, timeout=600
        )
        assert done.returncode == 0, done.stderr

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        """Run an installed command, with none of our source tree on the path."""
        return subprocess.run(
            [self.bin / command[0], *command[1:]],
            capture_output=True,
            text=True,
            timeout=280,
            cwd=cwd,
            env={**os.environ, "PATH": str(self.bin), "HOME": str(cwd)},
        )
