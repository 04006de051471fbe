"""What a model makes of a word by itself: its input embeddings, or what an encoder reads in it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from llmattn.plugin import ProviderRejected
from numpy.typing import NDArray

from llmattn_transformers.first_line import first_line
from llmattn_transformers.pieces import PieceEncoder
from llmattn_transformers.teacher import Teacher

__all__ = ["WordVectors"]

_BATCH = 64
"""Words that a sentence encoder reads at once."""


class WordVectors:
    """Vectors ``(n, width)`` of words, each written as it stands in a text: after a space if it
    begins with one.

    A language model's vector of a word is the mean of the input embeddings of its sub-words, a
    sentence encoder's the mean of its last hidden states.
    """

    def __init__(self, teacher: Teacher, encoder: PieceEncoder | None) -> None:
        """``encoder``: of a language model; None for a sentence encoder."""
        self._teacher = teacher
        self._encoder = encoder

    @property
    def width(self) -> int:
        """Numbers of a vector."""
        return int(self._teacher.model.get_input_embeddings().weight.shape[1])

    @property
    def middle(self) -> NDArray[np.float32]:
        """The mean of a language model's vocabulary."""
        return np.asarray(self._teacher.model.get_input_embeddings().weight.mean(0).cpu())

    @torch.inference_mode()
    def __call__(self, words: Sequence[str]) -> NDArray[np.float32]:
        if not words:
            return np.empty((0, self.width), np.float32)
        return self._encoded(words) if self._encoder is None else self._looked_up(words)

    def _looked_up(self, words: Sequence[str]) -> NDArray[np.float32]:
        assert self._encoder is not None
        table, device = self._teacher.model.get_input_embeddings().weight, self._teacher.device
        ids = [self._encoder.encode([word]).ids[1:] for word in words]
        found = torch.stack([table[torch.tensor(one, device=device)].mean(0) for one in ids])
        return np.asarray(found.float().cpu())

    def _encoded(self, words: Sequence[str]) -> NDArray[np.float32]:
        tokenizer = self._teacher.tokenizer
        if tokenizer.pad_token is None:  # any: nobody looks at it
            tokenizer.pad_token_id = 0
        try:
            found = [
                self._read(words[first : first + _BATCH]) for first in range(0, len(words), _BATCH)
            ]
        except (AttributeError, IndexError, TypeError, ValueError) as error:
            raise ProviderRejected(
                f"transformers: {self._teacher.weights.name} gives no vectors of words "
                f"({type(self._teacher.model).__name__}: {first_line(error)}). Choose a sentence "
                "encoder or a causal language model."
            ) from error
        return np.asarray(torch.cat(found).float().cpu())

    def _read(self, words: Sequence[str]) -> torch.Tensor:
        given = self._teacher.tokenizer(
            [word.strip() for word in words], padding=True, truncation=True, return_tensors="pt"
        ).to(self._teacher.device)
        seen: torch.Tensor = given["attention_mask"][:, :, None]
        states: torch.Tensor = self._teacher.model(**given).last_hidden_state
        return (states * seen).sum(1) / seen.sum(1)
