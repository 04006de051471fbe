"""Looks at the set-up of this machine and this user, and says what to do about each fault."""

from llmattn.doctor.examine import examine
from llmattn.doctor.finding import Finding, State

__all__ = ["Finding", "State", "examine"]
