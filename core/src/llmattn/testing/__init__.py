"""The test kit for plugins: what their authors call in tests. Names are loaded when they are used.

``check_cache`` and ``check_file_cache`` need hypothesis.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from llmattn.plugins import forget_plugins, load_plugins
    from llmattn.testing.cache_files import check_file_cache
    from llmattn.testing.caches import check_cache
    from llmattn.testing.faults import FAULTS, FaultPlan
    from llmattn.testing.findings import CheckFailed
    from llmattn.testing.providers import check_provider
    from llmattn.testing.server import ScoreServer
    from llmattn.testing.server_faults import check_faults
    from llmattn.testing.shapes import ChatShape, RowShape

__all__ = [
    "FAULTS",
    "ChatShape",
    "CheckFailed",
    "FaultPlan",
    "RowShape",
    "ScoreServer",
    "check_cache",
    "check_faults",
    "check_file_cache",
    "check_provider",
    "forget_plugins",
    "load_plugins",
]

_HOME = {
    "ChatShape": "llmattn.testing.shapes",
    "CheckFailed": "llmattn.testing.findings",
    "FAULTS": "llmattn.testing.faults",
    "FaultPlan": "llmattn.testing.faults",
    "RowShape": "llmattn.testing.shapes",
    "ScoreServer": "llmattn.testing.server",
    "check_cache": "llmattn.testing.caches",
    "check_faults": "llmattn.testing.server_faults",
    "check_file_cache": "llmattn.testing.cache_files",
    "check_provider": "llmattn.testing.providers",
    "forget_plugins": "llmattn.plugins",
    "load_plugins": "llmattn.plugins",
}

if not TYPE_CHECKING:  # or a type checker would believe any name

    def __getattr__(name: str) -> object:
        if name not in _HOME:
            raise AttributeError(f"module 'llmattn.testing' has no attribute {name!r}")
        from importlib import import_module

        return getattr(import_module(_HOME[name]), name)
