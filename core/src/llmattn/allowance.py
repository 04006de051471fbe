"""Whether one more request may be sent for an answer that takes several.

The budget counts HTTP requests, and only the provider knows that it sends another one; so it asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["allowed_by", "one_more"]

_ask: ContextVar[Callable[[], None] | None] = ContextVar("one_more", default=None)


def one_more() -> None:
    """Call this before each request but the first that a call of ``score`` sends.

    Raises BudgetExceeded if no more may be sent; let it pass on.
    """
    if ask := _ask.get():
        ask()


@contextmanager
def allowed_by(ask: Callable[[], None]) -> Iterator[None]:
    """``ask`` decides for what is awaited inside."""
    token = _ask.set(ask)
    try:
        yield
    finally:
        _ask.reset(token)
