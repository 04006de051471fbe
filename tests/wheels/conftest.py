"""Builds the wheels and installs them into fresh virtual environments."""

from __future__ import annotations

from pathlib import Path

import pytest
from support_wheels import Environment, build_wheels


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel of every distribution."""
    return build_wheels(tmp_path_factory.mktemp("wheels"))


@pytest.fixture(scope="session")
def environment(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """An environment with llmattn-core alone."""
    fresh = Environment(tmp_path_factory.mktemp("fresh"), wheels)
    fresh.install("llmattn-core")
    return fresh
