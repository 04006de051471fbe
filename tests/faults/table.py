"""The table of faults: each function of a module beside this one that yields rows gives some."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path

from attrs import frozen

__all__ = ["HEAD", "Outcome", "outcomes"]

HEAD = "| fault | tried | lost | repeated |\n|---|---|---|---|\n"


@frozen
class Outcome:
    """What came of one kind of fault.

    ``lost``: what had been stored, and was gone or wrong afterwards. ``repeated``: what had been
    answered, and was asked again. Both count pairs of words, or what ``unit`` says.
    """

    fault: str
    tried: int
    lost: int
    repeated: int
    unit: str = "pairs"
    note: str = ""

    @property
    def line(self) -> str:
        """A line of the table in Markdown."""
        unit = "" if self.unit == "pairs" else f" {self.unit}"
        fault = f"{self.fault} ({self.note})" if self.note else self.fault
        return f"| {fault} | {self.tried:,} | {self.lost:,}{unit} | {self.repeated:,}{unit} |"


def outcomes(folder: Path, tries: int, only: Iterable[str] = ()) -> Iterator[Outcome]:
    """Try every fault about ``tries`` times, in folders of its own below ``folder``.

    ``only``: names of modules; none: all. A module's public generators, called with ``folder`` and
    ``tries``, give its rows.
    """
    for path in sorted(Path(__file__).parent.glob("*.py")):
        if path.stem.startswith("_") or (only and path.stem not in only):
            continue
        module = import_module(f"faults.{path.stem}")
        for name, function in vars(module).items():
            own = getattr(function, "__module__", "") == module.__name__
            if not own or name.startswith("_") or not inspect.isgeneratorfunction(function):
                continue
            if list(inspect.signature(function).parameters) == ["folder", "tries"]:
                place = folder / path.stem / name
                place.mkdir(parents=True)
                yield from function(place, tries)
