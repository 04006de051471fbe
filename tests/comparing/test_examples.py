"""The configuration files of examples/ are taken by ``llmattn compare``."""

from __future__ import annotations

from pathlib import Path

import pytest
from llmattn.comparing.arms import parse_arms
from llmattn.untrusted import from_toml

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", sorted(path.name for path in EXAMPLES.glob("*.toml")))
def test_each_arm_of_an_example_is_one(name: str) -> None:
    tables = from_toml(EXAMPLES / name)["arms"]
    assert len(parse_arms(tuple(tables), tables)) == len(tables) > 0
