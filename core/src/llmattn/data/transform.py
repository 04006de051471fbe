"""From a stored score to what the model reads."""

from __future__ import annotations

import math
from typing import Any, Literal, cast, get_args

import numpy as np
from numpy.typing import NDArray

from llmattn.errors import ConfigError

__all__ = ["TRANSFORMS", "Transform", "choose_transform", "transformed"]

Transform = Literal["identity", "log"]

TRANSFORMS: tuple[str, ...] = get_args(Transform)

_LEAST = 1e-4
"""What attention weights below it have in common: nothing worth telling apart."""


def choose_transform(stated: object, wanted: str) -> Transform:
    """``wanted``, or for ``auto`` what the provider has ``stated``. Raises ConfigError."""
    chosen = stated if wanted == "auto" else wanted
    if chosen not in TRANSFORMS:
        raise ConfigError(
            f"No transform of scores is called {chosen!r}; choose one of: auto, "
            f"{', '.join(TRANSFORMS)}."
        )
    return cast(Transform, chosen)


def transformed(scores: NDArray[Any], transform: Transform) -> NDArray[Any]:
    """Scores in [0, 1] as values in [0, 1]; NaN stays NaN.

    ``log``: ``1 - ln(s + 1e-4) / ln(1e-4)``, for attention weights: a model whose logits are
    linear in the result multiplies powers of the weights.
    """
    if transform == "identity":
        return scores
    logs = np.log(scores.astype(np.float32) + np.float32(_LEAST))
    found: NDArray[Any] = np.clip(1 - logs / np.float32(math.log(_LEAST)), 0, 1)
    return found
