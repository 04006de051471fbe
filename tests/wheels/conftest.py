"""Builds the wheels and installs them into fresh virtual environments."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from support_wheels import ROOT, Environment

MEMBERS = [
    "core",
    *(str(path.parent.relative_to(ROOT)) for path in ROOT.glob("plugins/*/pyproject.toml")),
]


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of every distribution."""
    folder = tmp_path_factory.mktemp("wheels")
    for member in MEMBERS:
        build = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
        where = ["--outdir", str(folder), str(ROOT / member)]
        subprocess.run([*build, *where], check=True, capture_output=True, timeout=120)
    return folder


@pytest.fixture(scope="session")
def environment(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with llmattn-core alone."""
    fresh = Environment(tmp_path_factory.mktemp("fresh"), wheels)
    fresh.install("llmattn-core")
    return fresh
