"""Settings of the core's own executor."""

from __future__ import annotations

from attrs import frozen

__all__ = ["LOCAL", "LocalSettings"]

LOCAL = "local"
"""The executor that is meant where nobody names one."""


@frozen
class LocalSettings:
    """Processes of this machine have nothing to set."""
