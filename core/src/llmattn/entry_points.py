"""Entry points of the group ``llmattn``, read one distribution at a time: metadata that cannot be
read is told, and harms nobody.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from attrs import frozen
from packaging.utils import canonicalize_name

from llmattn.isolation import one_line

__all__ = ["ENTRY_POINT_GROUP", "Found", "find_entry_points"]

ENTRY_POINT_GROUP = "llmattn"


@frozen
class Found:
    """An entry point with its distribution, or why those of a distribution cannot be read."""

    name: str
    distribution: str
    version: str
    entry_point: metadata.EntryPoint | None = None
    dist: metadata.Distribution | None = None
    reason: str = ""

    def is_called(self, names: frozenset[str]) -> bool:
        """Whether one of ``names``, in the spelling of ``canonicalize_name``, is meant for this."""
        return not names.isdisjoint(self.names)

    @property
    def names(self) -> set[str]:
        """The entry point's and the distribution's name, as ``canonicalize_name`` spells them."""
        return {canonicalize_name(self.name), canonicalize_name(self.distribution)}


def find_entry_points() -> list[Found]:
    """Those of each installed distribution, sorted by name; of two copies of one the first."""
    seen: set[str] = set()
    found: list[Found] = []
    for dist in metadata.distributions():
        of_this = list(_of(dist))
        names = {canonicalize_name(each.distribution) for each in of_this}
        if names.isdisjoint(seen):
            seen |= names
            found += of_this
    return sorted(found, key=lambda each: (each.name, each.distribution))


def _of(dist: metadata.Distribution) -> Iterator[Found]:
    try:
        points = [each for each in dist.entry_points if each.group == ENTRY_POINT_GROUP]
    except Exception as error:  # its files may hold anything
        if _may_be_plugin(dist):
            name, why = _name_of(dist), one_line(error)
            yield Found(name, name, "", reason=f"its entry points cannot be read: {why}.")
        return
    for point in points:
        yield Found(one_line(point.name), _name_of(dist), _version_of(dist), point, dist)


def _may_be_plugin(dist: metadata.Distribution) -> bool:
    try:
        text = dist.read_text("entry_points.txt") or ""
    except Exception:
        return True
    return f"[{ENTRY_POINT_GROUP}]" in text


def _name_of(dist: metadata.Distribution) -> str:
    """The distribution's name; where its metadata cannot be read its folder tells it, such as
    ``mine-1.0.dist-info``.
    """
    try:
        name = dist.metadata["Name"]
    except Exception:
        name = None
    folder = Path(str(getattr(dist, "_path", "unknown"))).name
    return one_line(str(name or folder.partition("-")[0].replace("_", "-")))


def _version_of(dist: metadata.Distribution) -> str:
    try:
        return one_line(str(dist.version or ""))
    except Exception:
        return ""
