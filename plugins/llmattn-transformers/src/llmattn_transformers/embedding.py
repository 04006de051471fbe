"""Method `embedding`: how alike two words are, by themselves, in the model's space."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from llmattn.plugin import Row, Scores
from numpy.typing import NDArray

from llmattn_transformers.pieces import PieceEncoder
from llmattn_transformers.teacher import Teacher

__all__ = ["Embeddings"]

_BATCH = 64
"""Words that a sentence encoder reads at once."""


class Embeddings:
    """(1 + cosine) / 2 of two words' vectors.

    A language model's vector of a word is the mean of the input embeddings of its sub-words
    (the word after a space), less the mean of the whole vocabulary, since embeddings share one
    direction that says nothing (Mu and Viswanath 2018). A sentence encoder's is the mean of its
    last hidden states.
    """

    def __init__(self, teacher: Teacher, encoder: PieceEncoder | None) -> None:
        """``encoder``: of a language model; None for a sentence encoder."""
        self._teacher = teacher
        self._encoder = encoder
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

    @torch.inference_mode()
    def _learn(self, words: Sequence[str]) -> None:
        """Vectors of length 1."""
        vectors = self._encoded(words) if self._encoder is None else self._looked_up(words)
        for word, vector in zip(words, vectors, strict=True):
            length = np.linalg.norm(vector)
            self._known[word] = vector / length if length else vector

    def _looked_up(self, words: Iterable[str]) -> list[NDArray[np.float32]]:
        assert self._encoder is not None
        table = self._teacher.model.get_input_embeddings().weight
        middle = table.mean(0)
        device = self._teacher.device
        ids = [self._encoder.encode([f" {word}"]).ids[1:] for word in words]
        return [
            (table[torch.tensor(one, device=device)].mean(0) - middle).cpu().numpy() for one in ids
        ]

    def _encoded(self, words: Sequence[str]) -> list[NDArray[np.float32]]:
        found: list[NDArray[np.float32]] = []
        for first in range(0, len(words), _BATCH):
            given = self._teacher.tokenizer(
                list(words[first : first + _BATCH]), padding=True, return_tensors="pt"
            ).to(self._teacher.device)
            states = self._teacher.model(**given).last_hidden_state
            seen = given["attention_mask"][:, :, None]
            found.extend(((states * seen).sum(1) / seen.sum(1)).cpu().numpy())
        return found
