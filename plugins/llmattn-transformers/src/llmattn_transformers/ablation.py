"""Method `ablation`: how much the model's forecast changes when a word is left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from llmattn.plugin import Scores
from torch import Tensor

from llmattn_transformers.attention import shares
from llmattn_transformers.pieces import Encoded, PieceEncoder
from llmattn_transformers.teacher import Gap, Teacher
from llmattn_transformers.texts import Text

__all__ = ["Ablation"]


class Ablation:
    """With p the model's distribution of the token after query i, and q the same with key j
    left out, the key is worth KL(p || q), in nats: no word after the query comes into it.

    Leaving out the query itself leaves the forecast made before it. Channels: ``change`` is
    1 - exp(-KL), ``share`` the part of the row's sum of KL. A text of L pieces is read L times,
    each time from the missing piece on.
    """

    def __init__(self, teacher: Teacher, encoder: PieceEncoder, tokens_at_once: int) -> None:
        self._teacher = teacher
        self._encoder = encoder
        self._tokens_at_once = tokens_at_once

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
        # The forecast before piece i is made at the token last[i], that after it at last[i + 1].
        last = torch.tensor([0, *(end - 1 for end in ends)], device=teacher.device)
        known = int(last[first])
        past = teacher.remembered(one.ids, known)
        start = len(past.ids) if past else 0
        output, whole = teacher.go_on(one.ids, past, logits_to_keep=last[first:] - start)
        forecasts = torch.log_softmax(output.logits[0].float(), -1)
        before, after = forecasts[:-1], forecasts[1:]
        loss = torch.zeros(len(ends) - first, len(ends), device=teacher.device)
        for query in range(first, len(ends)):
            row = query - first
            loss[row, query] = _divergence(after[row], before[row])
        for keys in self._together(one):
            gaps = [_gap(one, key, max(first, key + 1)) for key in keys]
            for key, logits in zip(keys, teacher.leave_out(whole, gaps), strict=True):
                without = torch.log_softmax(logits.float(), -1)
                row = max(first, key + 1) - first
                loss[row:, key] = _divergence(after[row:], without)
        return loss

    def _together(self, one: Encoded) -> Iterator[list[int]]:
        """All pieces but the last, in groups behind which about ``tokens_at_once`` stand."""
        group: list[int] = []
        tokens = 0
        for key, end in enumerate(one.ends[:-1]):
            rest = len(one.ids) - end
            if group and tokens + rest > self._tokens_at_once:
                yield group
                group, tokens = [], 0
            group.append(key)
            tokens += rest
        if group:
            yield group


def _gap(one: Encoded, key: int, query: int) -> Gap:
    """The gap of piece ``key``, with the last tokens of the pieces from ``query`` on."""
    start = one.ends[key - 1] if key else 1
    return Gap(start, one.ends[key], tuple(end - 1 for end in one.ends[query:]))


def _divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(p || q) of logarithms of probabilities, over the last dimension."""
    return (p.exp() * (p - q)).sum(-1).clamp(min=0)
