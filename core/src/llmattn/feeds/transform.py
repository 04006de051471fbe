"""From a stored score to what the model reads."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmattn.errors import ConfigError, PluginError

__all__ = ["TRANSFORMS", "choose_transform", "transformed"]

TRANSFORMS = ("identity", "log")

_LEAST = 1e-4
"""What attention weights below it have in common: nothing worth telling apart."""


def choose_transform(
    stated: object, wanted: str | tuple[str, ...], channels: int, *, provider: str
) -> str:
    """``wanted``, or for ``auto`` what the ``provider`` has ``stated``: one name for all channels,
    or a tuple with one for each. Returns one name if it holds for all, else one for each, separated
    by commas.

    Raises ConfigError for what is wanted, PluginError for what is stated.
    """
    chosen = stated if wanted == "auto" else wanted
    names = list(chosen) if isinstance(chosen, tuple) else [str(chosen)]
    wrong = [name for name in names if name not in TRANSFORMS]
    if wanted == "auto" and (wrong or len(names) not in (1, channels)):
        raise PluginError(
            f"The provider {provider!r} says {stated!r} of how its scores are read; it may say "
            f"{', '.join(TRANSFORMS)}, or a tuple with one of them for each of its {channels} "
            "channels. That is a fault of its plugin; --score-transform identity does without."
        )
    if wrong:
        raise ConfigError(
            f"No transform of scores is called {wrong[0]!r}; choose one of: auto, "
            f"{', '.join(TRANSFORMS)}."
        )
    if len(names) not in (1, channels):
        raise ConfigError(
            f"{len(names)} transforms of scores ({', '.join(names)}) do not fit the {channels} "
            f"channels of {provider!r}."
        )
    return names[0] if len({*names}) == 1 else ",".join(names)


def transformed(scores: NDArray[Any], transform: str) -> NDArray[Any]:
    """Scores ``(C, ...)`` in [0, 1] as values in [0, 1]; NaN stays NaN. ``transform`` is what
    :func:`choose_transform` gives.

    ``log``: ``1 - ln(s + 1e-4) / ln(1e-4)``, for attention weights: a model whose logits are
    linear in the result multiplies powers of the weights.
    """
    if transform == "identity":
        return scores
    if "," in transform:
        names = transform.split(",")
        return np.stack([transformed(s, name) for s, name in zip(scores, names, strict=True)])
    logs = np.log(scores.astype(np.float32) + np.float32(_LEAST))
    found: NDArray[Any] = np.clip(1 - logs / np.float32(math.log(_LEAST)), 0, 1)
    return found
