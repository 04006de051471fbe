"""What a process does that carries out work for another one."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from threading import Lock
from typing import Any

from attrs import define, field

from llmattn.errors import LlmattnError
from llmattn.executors.protocol import Work

__all__ = ["carry_out"]

_KEPT = 2
"""Works that a process keeps ready at once."""


@define
class _Ready:
    """A work that is being set up, or is."""

    alone: bool = False
    carry: Callable[[Any], Any] | None = None
    lock: Lock = field(factory=Lock)


_ready: dict[bytes, _Ready] = {}
_lock = Lock()
_turn = Lock()
"""Held by the one item that must have the process to itself."""


def carry_out(pickled: bytes, item: Any) -> Any:
    """The result of an item of the work that was pickled so, which is set up first if it is new to
    this process. Of several threads each work is set up by one.

    Raises LlmattnError, and nothing else: a traceback would be lost on its way.
    """
    try:
        with _lock:
            ready = _ready.pop(pickled, None) or _Ready()
            while len(_ready) >= _KEPT:
                del _ready[next(iter(_ready))]
            _ready[pickled] = ready
        with ready.lock:
            if ready.carry is None:
                work: Work = pickle.loads(pickled)  # noqa: S301  (of the caller, who is trusted)
                ready.alone, ready.carry = work.alone, work.begin()
        if not ready.alone:
            return ready.carry(item)
        with _turn:
            return ready.carry(item)
    except LlmattnError:
        raise
    except Exception as error:
        raise LlmattnError(f"a fault in llmattn: {type(error).__name__}: {error}") from None
