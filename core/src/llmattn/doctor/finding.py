"""What an examination says."""

from __future__ import annotations

from typing import Literal

from attrs import frozen

from llmattn.errors import ConfigError

__all__ = ["Finding", "State"]

State = Literal["ok", "note", "problem"]


@frozen
class Finding:
    """One fact. ``note``: works, and may not be what was meant; ``problem``: does not work.

    ``remedy``: what to do, for all but ``ok``. ``exit_code``: of the command, for a problem.
    """

    about: str
    state: State
    says: str
    remedy: str = ""
    exit_code: int = ConfigError.exit_code
