"""The example of a third-party plugin, installed as a user installs it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from support_cli import run_process

EXAMPLE = Path(__file__).parents[2] / "examples" / "llmattn-plugin-spelling"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that the plugin is installed into."""
    target = tmp_path_factory.mktemp("site")
    pip = ("install", "--quiet", "--disable-pip-version-check", "--no-deps")
    options = ("--no-build-isolation", "--target", target)
    done = run_process(target, *pip, *options, EXAMPLE, program=("-m", "pip"))
    assert done.returncode == 0, done.stderr
    return target


def test_llmattn_lists_it_with_its_distribution(site: Path) -> None:
    done = run_process(site, "plugins", "--json", PYTHONPATH=str(site))
    assert "llmattn-plugin-spelling" in str(json.loads(done.stdout))


def test_its_own_tests_pass(site: Path) -> None:
    options = ("-q", "-p", "no:cacheprovider", EXAMPLE)
    done = run_process(site, *options, program=("-m", "pytest"), PYTHONPATH=str(site))
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout
