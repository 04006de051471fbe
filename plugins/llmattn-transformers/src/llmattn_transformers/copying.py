"""Method `copy`: how likely the model holds each word of the text to come next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from llmattn.plugin import Scores
from torch import Tensor

from llmattn_transformers.pieces import Encoded, PieceEncoder
from llmattn_transformers.teacher import Teacher
from llmattn_transformers.texts import Text

__all__ = ["Copy"]


class Copy:
    """The weights of a pointer (Vinyals et al. 2015): after query i the key j is worth the
    probability that the model gives to the first sub-word of piece j as the next token.

    It is the model's own forecast, made from the text up to the query; the word that does come
    next has no part in it. One reading a text.
    """

    def __init__(self, teacher: Teacher, encoder: PieceEncoder) -> None:
        self._teacher = teacher
        self._encoder = encoder

    @torch.inference_mode()
    def maps(self, texts: Sequence[Text]) -> Iterator[tuple[Text, Scores]]:
        """``(1, L - text.first, L)`` of each text: the rows from ``first`` on."""
        for text in texts:
            encoded = self._encoder.encode(text.pieces)
            self._teacher.check(encoded)
            found = self._probabilities(encoded, text.first)
            yield text, found.tril(text.first)[None].cpu().numpy()

    def _probabilities(self, one: Encoded, first: int) -> Tensor:
        """``(L - first, L)``, later keys included."""
        teacher, device = self._teacher, self._teacher.device
        past = teacher.remembered(one.ids, one.ends[first] - 1)
        start = len(past.ids) if past else 0
        lasts = torch.tensor(one.ends[first:], device=device) - 1 - start
        output, _ = teacher.go_on(one.ids, past, logits_to_keep=lasts)
        firsts = [one.ids[begin] for begin in (1, *one.ends[:-1])]
        forecast = torch.softmax(output.logits[0].float(), -1)
        return forecast[:, torch.tensor(firsts, device=device)]
