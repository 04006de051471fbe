"""The example of a third-party plugin, installed as a user installs it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parents[2] / "examples" / "llmattn-plugin-spelling"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The environment of a process that has the plugin installed beside llmattn."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    options = ["--no-deps", "--no-build-isolation", "--target", str(target)]
    subprocess.run([*pip, *options, str(EXAMPLE)], check=True)
    return {**os.environ, "PYTHONPATH": str(target)}


def test_llmattn_lists_it_with_its_distribution(installed: dict[str, str]) -> None:
    command = [sys.executable, "-m", "llmattn", "plugins", "--json"]
    done = subprocess.run(command, env=installed, capture_output=True, text=True, check=True)
    assert "llmattn-plugin-spelling" in str(json.loads(done.stdout))


def test_its_own_tests_pass(installed: dict[str, str]) -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(EXAMPLE)]
    done = subprocess.run(command, env=installed, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
