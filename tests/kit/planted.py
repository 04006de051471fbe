"""The list of planted faults: each a few lines in a module beside this one, and one name here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from attrs import frozen
from llmattn.testing.findings import CheckFailed

__all__ = ["FAULTS", "Caught", "Fault", "meet", "planted"]

T = TypeVar("T")


@frozen
class Fault:
    """A plugin that is not sound, and how the kit is run on it."""

    name: str
    run: Callable[[], None]


@frozen
class Caught:
    """What the kit said."""

    check: str = "nothing"
    message: str = ""


FAULTS: list[Fault] = []


def planted(name: str, check: Callable[[Any], None]) -> Callable[[T], T]:
    """Put what is decorated on the list; ``check`` is the kit's call on it."""

    def add(plugin: T) -> T:
        FAULTS.append(Fault(name, lambda: check(plugin)))
        return plugin

    return add


def meet(fault: Fault) -> Caught:
    """Run the kit on a fault."""
    try:
        fault.run()
    except CheckFailed as found:
        check, _, message = str(found).partition(": ")
        return Caught(check, message)
    return Caught()
