"""Method `gradient`: how much the model's likeliest next token leans on each word."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from llmattn.plugin import Scores
from torch import Tensor

from llmattn_transformers.attention import shares
from llmattn_transformers.pieces import Encoded, PieceEncoder, join_keys
from llmattn_transformers.teacher import Teacher
from llmattn_transformers.texts import Text

__all__ = ["Gradient"]

_AT_ONCE = 8
"""Rows that go backwards together."""


class Gradient:
    """Gradient times input (Shrikumar et al. 2016): with f the logarithm of the probability of
    the token that the model itself holds likeliest after query i, a sub-word with the embedding
    e is worth |df/de · e|, a key the sum of its sub-words. Rows are made to sum to 1.

    A text of L pieces is read once forwards and L times backwards.
    """

    def __init__(self, teacher: Teacher, encoder: PieceEncoder) -> None:
        self._teacher = teacher
        self._encoder = encoder

    def maps(self, texts: Sequence[Text]) -> Iterator[tuple[Text, Scores]]:
        """``(1, L - text.first, L)`` of each text: the rows from ``first`` on."""
        for text in texts:
            encoded = self._encoder.encode(text.pieces)
            self._teacher.check(encoded)
            folded = self._saliences(encoded, text.first)
            yield text, shares(folded, text.first)[None].cpu().numpy()

    def _saliences(self, one: Encoded, first: int) -> Tensor:
        """``(L - first, L)``; 0 for keys after the query."""
        device, model = self._teacher.device, self._teacher.model
        ends = torch.tensor(one.ends[first:], device=device)
        with torch.enable_grad():
            ids = torch.tensor([one.ids], device=device)
            inputs = model.get_input_embeddings()(ids).detach().requires_grad_()
            output = model(inputs_embeds=inputs, use_cache=False, logits_to_keep=ends - 1)
            likeliest = torch.log_softmax(output.logits[0].float(), -1).amax(-1)
            found = []
            for n in range(0, len(likeliest), _AT_ONCE):
                values = likeliest[n : n + _AT_ONCE]
                (gradient,) = torch.autograd.grad(
                    values,
                    inputs,
                    grad_outputs=torch.eye(len(values), device=device),
                    retain_graph=n + _AT_ONCE < len(likeliest),
                    is_grads_batched=True,
                )
                found.append((gradient[:, 0] * inputs.detach()[0]).sum(-1).abs())
        keys = join_keys([one.ends], len(one.ids))[0].to(device)
        return torch.cat(found) @ keys
