"""Scales: where in a range of colours a score or a weight stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from attrs import frozen
from numpy.typing import NDArray

from llmattn.view.maps import Floats, lines_of

__all__ = ["SCALES", "Scale", "fit_scale", "usual_scale"]

SCALES = ("linear", "sqrt", "log", "rank")
_SHORT = 48
"""Tokens up to which a row's weights are large enough for a square root to tell them apart."""
_TOP, _BOTTOM = 0.998, 0.1
"""Quantiles at which the colours end; at their lower end those of ``log`` begin."""
_SPAN = 1e-4


def usual_scale(size: int) -> str:
    """The scale for a text of ``size`` tokens, if nobody chooses one."""
    return "sqrt" if size <= _SHORT else "log"


@frozen(eq=False)
class Scale:
    """From a value to its place in [0, 1] between the colours' ends, and back."""

    name: str
    low: float
    high: float
    ordered: NDArray[np.float64]
    """The values that ``rank`` counts, in order; empty for another scale."""

    def places(self, values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Of ``values`` of any shape; NaN where they are."""
        values = np.asarray(values, np.float64)
        if self.name == "rank":
            below = np.searchsorted(self.ordered, values, "left")
            upto = np.searchsorted(self.ordered, values, "right")
            found = (below + upto) / (2 * max(1, len(self.ordered)))
        else:
            found = (self._bent(values) - self._bent(self.low)) / (
                self._bent(self.high) - self._bent(self.low)
            )
        found = np.where(values > 0, np.clip(found, 0, 1), 0.0)
        return np.where(np.isnan(values), np.nan, found)

    def value_at(self, place: float) -> float:
        """The value that stands at ``place``."""
        if self.name == "rank":
            return float(np.quantile(self.ordered, place)) if len(self.ordered) else 0.0
        low, high = (float(self._bent(end)) for end in (self.low, self.high))
        bent = low + place * (high - low)
        return (
            float(np.exp(bent)) if self.name == "log" else bent**2 if self.name == "sqrt" else bent
        )

    def _bent(self, values: NDArray[np.floating[Any]] | float) -> NDArray[np.float64]:
        if self.name == "log":
            return np.log(np.maximum(values, self.low))
        return np.sqrt(np.maximum(values, 0)) if self.name == "sqrt" else np.asarray(values)


def fit_scale(name: str, matrices: Floats, lines: Sequence[Sequence[int]] | None = None) -> Scale:
    """A scale ``name`` for matrices ``(N, T, T)`` that are compared with each other.

    It ends where what is no vertical line ends: those, see ``lines_of``, and the first rows,
    which have few keys to share their weight among, would dim all the others.
    """
    size = matrices.shape[-1]
    counted = np.tri(size, dtype=bool)
    counted[: min(3, size - 1)] = False
    parts = []
    for number, matrix in enumerate(matrices):
        kept = counted.copy()
        kept[:, list(lines_of(matrix) if lines is None else lines[number])] = False
        parts.append(matrix[kept])
    values = np.concatenate(parts).astype(np.float64) if parts else np.zeros(0)
    values = np.sort(values[np.isfinite(values)])
    if not (len(values) and values[-1] > 0):
        values = np.array([0.0, 1.0])
    high = float(np.quantile(values, _TOP)) or float(values[-1])
    low = 0.0
    if name == "log":
        low = max(float(np.quantile(values, _BOTTOM)), high * _SPAN)
        low = low if low < high else high / 10
    return Scale(name, low, high, values if name == "rank" else np.zeros(0))
