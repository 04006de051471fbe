"""What each distribution says that it works with, and the oldest of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tomlkit
from packaging.requirements import Requirement
from packaging.version import Version
from support_wheels import ROOT

__all__ = ["TORCH", "oldest", "pinned", "projects", "requirements"]

TORCH = "torch"
"""Of this only the pinned version is tried: every older one is gigabytes for other machines."""


def projects() -> dict[str, Path]:
    """The folder of each distribution, by its name."""
    files = [ROOT / "core/pyproject.toml", *sorted(ROOT.glob("plugins/*/pyproject.toml"))]
    return {_project(file.parent)["name"]: file.parent for file in files}


def requirements(folder: Path) -> Iterator[Requirement]:
    """What the distribution in ``folder`` requires of others than us, its extras' too, as far as it
    counts for this Python.
    """
    project = _project(folder)
    lists = [project["dependencies"], *project.get("optional-dependencies", {}).values()]
    for requirement in (Requirement(line) for lines in lists for line in lines):
        ours = requirement.name.startswith("llmattn")
        if not ours and (requirement.marker is None or requirement.marker.evaluate()):
            yield requirement


def oldest(requirement: Requirement) -> Version:
    """The version after ``>=``. Raises ValueError if none is stated."""
    bounds = [Version(one.version) for one in requirement.specifier if one.operator == ">="]
    if len(bounds) != 1:
        raise ValueError(f"{requirement} states no oldest version")
    return bounds[0]


def pinned() -> dict[str, Version]:
    """The versions in ``constraints.txt`` that count for this Python, by name."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            one = Requirement(line)
            if one.marker is None or one.marker.evaluate():
                (pin,) = one.specifier
                found[one.name] = Version(pin.version)
    return found


def _project(folder: Path) -> dict[str, Any]:
    whole = tomlkit.parse((folder / "pyproject.toml").read_text()).unwrap()
    project: dict[str, Any] = whole["project"]
    return project
