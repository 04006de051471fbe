"""What a process does that carries out work for another one."""

from __future__ import annotations

import atexit
import pickle
from collections.abc import Callable
from threading import Lock
from typing import Any

from attrs import define, field

from llmattn.errors import LlmattnError
from llmattn.executors.protocol import Work

__all__ = ["carry_out", "let_go"]

_KEPT = 2
"""Works that a process keeps ready at once."""


@define
class _Ready:
    """A work that is being set up, or is."""

    alone: bool = False
    carry: Callable[[Any], Any] | None = None
    users: int = 0
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
    with _lock:
        ready = _ready.pop(pickled, None) or _Ready()
        ready.users += 1
        _ready[pickled] = ready
    try:
        return _carried(ready, pickled, item)
    except LlmattnError:
        raise
    except Exception as error:
        raise LlmattnError(f"a fault in llmattn: {type(error).__name__}: {error}") from None
    finally:
        with _lock:
            ready.users -= 1
        let_go(_KEPT)


def let_go(but: int = 0) -> None:
    """Close the works that nobody is carrying out, ``but`` for so many, those used last."""
    with _lock:
        unused = [key for key, ready in _ready.items() if not ready.users]
        gone = [_ready.pop(key) for key in unused[: max(0, len(_ready) - but)]]
    for ready in gone:
        if close := getattr(ready.carry, "close", None):
            close()


atexit.register(let_go)


def _carried(ready: _Ready, pickled: bytes, item: Any) -> Any:
    with ready.lock:
        if ready.carry is None:
            work: Work = pickle.loads(pickled)  # noqa: S301  (of the caller, who is trusted)
            ready.alone, ready.carry = work.alone, work.begin()
    if not ready.alone:
        return ready.carry(item)
    with _turn:
        return ready.carry(item)
