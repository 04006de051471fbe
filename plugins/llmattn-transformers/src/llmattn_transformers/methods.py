"""The ways from a model to scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np
from attrs import frozen
from llmattn.plugin import Row, Scores

from llmattn_transformers.ablation import Ablation
from llmattn_transformers.attention import AttentionMaps
from llmattn_transformers.channels import Channel
from llmattn_transformers.copying import Copy
from llmattn_transformers.embedding import Embeddings
from llmattn_transformers.gradient import Gradient
from llmattn_transformers.pieces import PieceEncoder
from llmattn_transformers.settings import TransformersSettings
from llmattn_transformers.teacher import load_teacher
from llmattn_transformers.texts import Text, texts_of
from llmattn_transformers.trial import check_causal, check_going_on, check_leaving_out
from llmattn_transformers.weights import Weights

__all__ = ["Method", "make_method"]


class Method(Protocol):
    """Scores of rows, ``(C, len(row.keys))`` each, in their order."""

    def scores(self, rows: Sequence[Row]) -> list[Scores]: ...


class Maps(Protocol):
    """Maps of texts, ``(C, L - text.first, L)`` each: the rows from ``first`` on."""

    def maps(self, texts: Sequence[Text]) -> Iterator[tuple[Text, Scores]]:
        """In any order."""
        ...


@frozen
class InContext:
    """Methods that make maps of whole texts, their channels one after another; rows are cut of
    the maps.
    """

    parts: Sequence[Maps]

    def scores(self, rows: Sequence[Row]) -> list[Scores]:
        found: dict[int, list[Scores]] = {place: [] for place in range(len(rows))}
        texts = texts_of(rows)
        for part in self.parts:
            for text, maps in part.maps(texts):
                for place in text.rows:
                    length = len(rows[place].keys)
                    found[place].append(maps[:, length - 1 - text.first, :length])
        return [np.concatenate(scores) for scores in found.values()]


def make_method(
    settings: TransformersSettings, weights: Weights, channels: Sequence[Channel]
) -> Method:
    """The methods that the settings name, with their model loaded. Raises ConfigError."""
    teacher = load_teacher(weights, settings.device)
    if not weights.causal:
        return Embeddings(teacher, None)
    encoder = PieceEncoder(teacher.tokenizer, settings.start_token)
    if settings.method == "embedding":
        return Embeddings(teacher, encoder)
    check_causal(teacher)
    if set(settings.methods) - {"gradient"}:
        check_going_on(teacher)
    if "ablation" in settings.methods:
        check_leaving_out(teacher)
    size = settings.batch_tokens
    made: dict[str, Callable[[], Maps]] = {
        "ablation": lambda: Ablation(teacher, encoder, size // 2),
        "attention": lambda: AttentionMaps(teacher, encoder, channels, size),
        "copy": lambda: Copy(teacher, encoder),
        "gradient": lambda: Gradient(teacher, encoder),
    }
    return InContext([made[name]() for name in settings.methods])
