"""The ways from a model to scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from attrs import frozen
from llmattn.rows import Row, Scores

from llmattn_transformers.ablation import Ablation
from llmattn_transformers.attention import AttentionMaps
from llmattn_transformers.channels import Channel
from llmattn_transformers.embedding import Embeddings
from llmattn_transformers.gradient import Gradient
from llmattn_transformers.pieces import PieceEncoder
from llmattn_transformers.settings import TransformersSettings
from llmattn_transformers.teacher import load_teacher
from llmattn_transformers.texts import Text, texts_of
from llmattn_transformers.weights import Weights

__all__ = ["Method", "make_method"]


class Method(Protocol):
    """Scores of rows, ``(C, len(row.keys))`` each, in their order."""

    def scores(self, rows: Sequence[Row]) -> list[Scores]: ...


@frozen
class InContext:
    """A method that makes maps of whole texts, of which rows are cut."""

    maps: Callable[[Sequence[Text]], Iterator[tuple[Text, Scores]]]

    def scores(self, rows: Sequence[Row]) -> list[Scores]:
        found: dict[int, Scores] = {}
        for text, maps in self.maps(texts_of(rows)):
            for place in text.rows:
                length = len(rows[place].keys)
                found[place] = maps[:, length - 1 - text.first, :length]
        return [found[place] for place in range(len(rows))]


def make_method(
    settings: TransformersSettings, weights: Weights, channels: Sequence[Channel]
) -> Method:
    """The method that the settings name, with its model loaded. Raises ConfigError."""
    teacher = load_teacher(weights, settings.device)
    if not weights.causal:
        return Embeddings(teacher, None)
    encoder = PieceEncoder(teacher.tokenizer, settings.start_token)
    if settings.method == "embedding":
        return Embeddings(teacher, encoder)
    if settings.method == "ablation":
        return InContext(Ablation(teacher, encoder, settings.batch_tokens // 2).maps)
    if settings.method == "gradient":
        return InContext(Gradient(teacher, encoder).maps)
    return InContext(AttentionMaps(teacher, encoder, channels, settings.batch_tokens).maps)
