"""What a worker of the cluster does. It is trusted with what the caller sends, as Dask has it."""

from __future__ import annotations

import pickle
from importlib import metadata
from typing import Any

from attrs import frozen
from distributed import Queue, get_client, get_worker
from llmattn.plugin import LlmattnError, WorkerLost, carry_out, wanted_while

__all__ = ["Order", "carry", "held", "mismatch"]

_AT_ONCE = 1.0
"""Seconds for an answer of the scheduler's that does not have to be waited for."""


@frozen
class Order:
    """An item as it is sent. ``once``: what marks it as begun at the scheduler, so that no second
    worker begins it; empty where it may be begun again. ``version``: of the caller.
    """

    item: bytes
    version: str
    once: str = ""


def held(pickled: bytes) -> bytes:
    """A work, kept in the cluster for as long as items of it are. When its keeper dies, the
    scheduler has it made again.
    """
    return pickled


def carry(work: bytes, order: bytes) -> tuple[LlmattnError | None, Any]:
    """What comes of one item: the error that it ends in, or its result."""
    worker = get_worker()
    key = worker.get_current_task()

    def wanted() -> bool:
        state = worker.state.tasks.get(key)
        return state is not None and state.state in ("executing", "long-running")

    try:
        given: Order = pickle.loads(order)  # noqa: S301  (of the caller, who is trusted)
        if wrong := mismatch(metadata.version("llmattn-core"), given.version):
            raise LlmattnError(f"The worker {worker.address} {wrong}")
        if given.once:
            _begin_once(given.once)
        with wanted_while(wanted):
            return None, carry_out(work, pickle.loads(given.item))  # noqa: S301  (as above)
    except LlmattnError as error:
        return error, None


def mismatch(there: str, here: str) -> str:
    """What is wrong with the llmattn-core of another machine, as the end of a sentence."""
    if there == here:
        return ""
    return (
        f"has llmattn-core {there}, and the caller {here}: install the same version on both, and "
        "start the workers anew."
    )


def _begin_once(mark: str) -> None:
    """Mark an item as begun. Raises WorkerLost if another worker has, which must have died."""
    queue: Any = Queue
    place = queue(mark, client=get_client(), maxsize=1)
    try:
        place.put(True, timeout=_AT_ONCE)
    except TimeoutError:
        raise WorkerLost("the worker that had it has died.") from None
