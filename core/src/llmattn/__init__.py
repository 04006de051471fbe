"""llmattn: train and sample small GPTs whose attention scores come from outside.

The names below are loaded when they are used, so that ``import llmattn`` stays light.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as _version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llmattn.hookspecs import hookimpl
    from llmattn.identity import Identity
    from llmattn.providers.protocol import AttentionProvider, Limits, Reply
    from llmattn.rows import Row, Scope
    from llmattn.usage import Usage

__version__ = _version("llmattn-core")

_HOME = {
    "AttentionProvider": "llmattn.providers.protocol",
    "Identity": "llmattn.identity",
    "Limits": "llmattn.providers.protocol",
    "Reply": "llmattn.providers.protocol",
    "Row": "llmattn.rows",
    "Scope": "llmattn.rows",
    "Usage": "llmattn.usage",
    "hookimpl": "llmattn.hookspecs",
}

__all__ = [
    "AttentionProvider",
    "Identity",
    "Limits",
    "Reply",
    "Row",
    "Scope",
    "Usage",
    "hookimpl",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(import_module(_HOME[name]), name)
    raise AttributeError(f"module 'llmattn' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
