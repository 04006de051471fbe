"""Faults that the test server commits on purpose, drawn reproducibly."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

from attrs import field, frozen

__all__ = [
    "CONTENT_FAULTS",
    "FAULTS",
    "HTTP_FAULTS",
    "LIST_FAULTS",
    "FaultPlan",
    "spoil",
    "spoil_lists",
]

HTTP_FAULTS = {
    "rate_limit": "429 with Retry-After",
    "rate_limit_ms": "429 with retry-after-ms",
    "rate_limit_bare": "429 without Retry-After",
    "server_error": "500",
    "loading": "503, as while a model is loading",
    "reset": "the connection is reset",
    "stall": "half of the reply, then nothing",
    "content_type": "200 with an HTML page",
}
CONTENT_FAULTS = {
    "truncated": "JSON that ends in the middle",
    "prose": "prose around the JSON (the scores can be read)",
    "too_few": "one score too few in the first row",
    "too_many": "one score too many in the first row",
    "missing_row": "one row too few",
    "strings": "words in place of scores",
    "nan": "NaN in place of scores",
    "negative": "negative scores",
    "huge": "scores of 400 digits",
    "duplicate_keys": "a property named twice",
    "empty": "an empty text",
    "refusal": "the model refuses",
    "content_filter": "finish reason content_filter",
    "length": "finish reason length, the text cut",
}
LIST_FAULTS: dict[str, Callable[[list[Any]], list[Any]]] = {
    "too_few": lambda rows: [rows[0][:-1], *rows[1:]],
    "too_many": lambda rows: [rows[0] + rows[0][-1:], *rows[1:]],
    "missing_row": lambda rows: rows[:-1],
    "strings": lambda rows: [["high"] * len(rows[0]), *rows[1:]],
    "nan": lambda rows: [[float("nan")] * len(rows[0]), *rows[1:]],
    "negative": lambda rows: [[-1] * len(rows[0]), *rows[1:]],
    "huge": lambda rows: [[10**400] * len(rows[0]), *rows[1:]],
}
"""The content faults of a list of rows, by what becomes of it."""
FAULTS = HTTP_FAULTS | CONTENT_FAULTS
"""Every fault by name, with what it does."""


def _probabilities(
    given: Mapping[str, float] | tuple[tuple[str, float], ...],
) -> tuple[tuple[str, float], ...]:
    faults = dict(given)
    for name, probability in faults.items():
        if name not in FAULTS:
            raise ValueError(f"no fault is called {name!r}; there are {', '.join(FAULTS)}")
        if not 0 <= probability <= 1:
            raise ValueError(f"the probability of {name} is {probability}, not in [0, 1]")
    if sum(faults.values()) > 1 + 1e-9:
        raise ValueError("the probabilities of the faults sum to more than 1")
    return tuple(sorted(faults.items()))


@frozen
class FaultPlan:
    """Which request meets which fault: a function of the seed and the request's number."""

    faults: tuple[tuple[str, float], ...] = field(default=(), converter=_probabilities)
    seed: int = 0

    @classmethod
    def evenly(
        cls, share: float, names: tuple[str, ...] = tuple(FAULTS), seed: int = 0
    ) -> FaultPlan:
        """A plan in which ``share`` of all requests fail, each of ``names`` equally often."""
        return cls({name: share / len(names) for name in names}, seed)

    def draw(self, number: int) -> str | None:
        """The fault of the request with this number (from 0), or None."""
        if not self.faults:
            return None
        point = random.Random(f"{self.seed}:{number}").random()  # noqa: S311  (tests, not secrets)
        for name, probability in self.faults:
            point -= probability
            if point < 0:
                return name
        return None


def spoil(fault: str | None, reply: dict[str, Any]) -> tuple[str, str]:
    """``reply`` (scores by criterion) as text, and the finish reason, under a content fault."""
    text = json.dumps(reply, separators=(",", ":"))
    finish = "stop"
    if fault == "truncated":
        text = text[: len(text) // 2]
    elif fault == "prose":
        text = f"Of course! Here are the scores {{0 to 9}}:\n```json\n{text}\n```\nAnything else?"
    elif fault in LIST_FAULTS:
        text = json.dumps({name: spoil_lists(fault, rows) for name, rows in reply.items()})
    elif fault == "duplicate_keys":
        name = json.dumps(next(iter(reply)))
        text = f"{text[:-1]},{name}:[]}}"
    elif fault == "empty":
        text = ""
    elif fault == "refusal":
        text, finish = "I'm sorry, but I can't help with that.", "refusal"
    elif fault == "content_filter":
        text, finish = "", "content_filter"
    elif fault == "length":
        text, finish = text[: len(text) // 2], "length"
    return text, finish


def spoil_lists(fault: str | None, rows: list[Any]) -> list[Any]:
    """The scores of each row under a content fault; others than of lists leave them alone."""
    return LIST_FAULTS[fault](rows) if fault in LIST_FAULTS else rows
