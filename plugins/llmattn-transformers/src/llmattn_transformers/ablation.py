"""Method `ablation`: how much the model's forecast changes when a word is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from llmattn.rows import Scores
from torch import Tensor

from llmattn_transformers.attention import shares
from llmattn_transformers.pieces import Encoded, PieceEncoder
from llmattn_transformers.teacher import Teacher
from llmattn_transformers.texts import Text

__all__ = ["Ablation"]


class Ablation:
    """With p the model's distribution of the token after query i, and q the same with key j
    left out, the key is worth KL(p || q), in nats: no word after the query comes into it.

    Leaving out the query itself leaves the forecast made before it. Channels: ``change`` is
    1 - exp(-KL), ``share`` the part of the row's sum of KL. A text of L pieces is read L times,
    each time from the missing piece on.
    """

    def __init__(self, teacher: Teacher, encoder: PieceEncoder) -> None:
        self._teacher = teacher
        self._encoder = encoder

    @torch.inference_mode()
    def maps(self, texts: Sequence[Text]) -> Iterator[tuple[Text, Scores]]:
        """``(2, L - text.first, L)`` of each text: the rows from ``first`` on."""
        for text in texts:
            encoded = self._encoder.encode(text.pieces)
            self._teacher.check(encoded)
            loss = self._losses(encoded, text.first)
            maps = torch.stack([1 - torch.exp(-loss), shares(loss, text.first)])
            yield text, maps.cpu().numpy()

    def _losses(self, one: Encoded, first: int) -> Tensor:
        """KL in nats, ``(L - first, L)``; 0 for keys after the query."""
        teacher, ends = self._teacher, one.ends
        last = torch.tensor(
            [0, *(end - 1 for end in ends[:-1]), ends[-1] - 1], device=teacher.device
        )
        # last[i] is the token that stands before piece i, last[i + 1] that which ends it.
        known = int(last[first])
        past = teacher.remembered(one.ids, known)
        start = len(past.ids) if past else 0
        output, whole = teacher.go_on(one.ids, past, logits_to_keep=last[first:] - start)
        forecasts = torch.log_softmax(output.logits[0].float(), -1)
        before, after = forecasts[:-1], forecasts[1:]
        loss = torch.zeros(len(ends) - first, len(ends), device=teacher.device)
        for key, end in enumerate(ends):
            query = max(first, key + 1)
            if query < len(ends):
                begin = ends[key - 1] if key else 1
                without = teacher.leave_out(whole, begin, end, last[query + 1 :])
                without = torch.log_softmax(without.float(), -1)
                loss[query - first :, key] = _divergence(after[query - first :], without)
            if key >= first:
                loss[key - first, key] = _divergence(after[key - first], before[key - first])
        return loss


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) of logarithms of probabilities, over the last dimension."""
    return (p.exp() * (p - q)).sum(-1).clamp(min=0)
