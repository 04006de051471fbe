"""The versions that are pinned lie within the ranges that the distributions declare."""

from __future__ import annotations

import pytest
from packaging.requirements import Requirement
from versions.ranges import oldest, pinned, projects, requirements

DECLARED = [
    pytest.param(requirement, id=f"{name}-{requirement.name}")
    for name, folder in projects().items()
    for requirement in requirements(folder)
]


@pytest.mark.parametrize("requirement", DECLARED)
def test_the_pinned_version_lies_within_the_declared_range(requirement: Requirement) -> None:
    assert oldest(requirement) <= pinned()[requirement.name]
    assert pinned()[requirement.name] in requirement.specifier
