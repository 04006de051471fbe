"""Method `embedding`: how alike two words are, by themselves, in the model's space."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from llmattn.plugin import Row, Scores
from numpy.typing import NDArray

from llmattn_transformers.pieces import PieceEncoder
from llmattn_transformers.teacher import Teacher
from llmattn_transformers.word_vectors import WordVectors

__all__ = ["Embeddings"]


class Embeddings:
    """(1 + cosine) / 2 of two words' vectors (``WordVectors``), those of a language model less the
    mean of its whole vocabulary, since embeddings share one direction that says nothing (Mu and
    Viswanath 2018).
    """

    def __init__(self, teacher: Teacher, encoder: PieceEncoder | None) -> None:
        """``encoder``: of a language model; None for a sentence encoder."""
        self._vectors = WordVectors(teacher, encoder)
        self._middle = np.float32(0) if encoder is None else self._vectors.middle
        self._known: dict[str, NDArray[np.float32]] = {}

    def scores(self, rows: Sequence[Row]) -> list[Scores]:
        words = {word for row in rows for word in (row.query, *row.keys)}
        self._learn(sorted(words - self._known.keys()))
        found: list[Scores] = []
        for row in rows:
            keys = np.stack([self._known[key] for key in row.keys])
            cosine = keys @ self._known[row.query]
            found.append(((1 + cosine) / 2).clip(0, 1)[None].astype(np.float32))
        return found

    def _learn(self, words: Sequence[str]) -> None:
        """Vectors of length 1."""
        vectors = self._vectors([f" {word}" for word in words])
        for word, vector in zip(words, vectors - self._middle, strict=True):
            length = np.linalg.norm(vector)
            self._known[word] = vector / length if length else vector
