"""The mix of many channels of scores, without a float copy of them all."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["add_tau_gradient", "mix_channels", "mixed", "pieces"]

_PIECE = {"cpu": 1 << 19}
"""Scores converted at once, by kind of device: on a CPU what stays in its cache."""
_LARGE_PIECE = 1 << 26


def mix_channels(tau: Tensor, scores: Tensor) -> Tensor:
    """``sum_k tau[h, k] * scores[b, k, i, j]``, ``(B, H, n, T)``.

    ``tau``: ``(H, C)``. ``scores``: ``(B, C, n, T)``, of any float type, or uint8, where 255
    stands for 1. They are given: the gradient goes to ``tau`` alone.
    """
    found: Tensor = _MixChannels.apply(tau, scores)  # type: ignore[no-untyped-call]
    return found


def mixed(tau: Tensor, scores: Tensor) -> Tensor:
    """:func:`mix_channels` without a gradient, in tau's type."""
    batch, _, rows, length = scores.shape
    weights = tau * _unit(scores)
    out = tau.new_empty(batch, len(tau), rows, length)
    with torch.autocast(tau.device.type, enabled=False):
        for texts, lines in pieces(scores):
            piece = scores[texts, :, lines].to(tau.dtype)
            part = out[texts, :, lines]
            if piece.shape[1] == 1:
                torch.mul(weights[:, :, None], piece, out=part)
            else:
                many = weights.expand(len(piece), -1, -1)
                part.copy_(torch.bmm(many, piece.flatten(2)).view(part.shape))
    return out


def add_tau_gradient(total: Tensor, grad: Tensor, scores: Tensor) -> None:
    """Add to ``total`` ``(H, C)`` what ``grad`` ``(B, H, n, T)``, the gradient of the mix of
    ``scores``, means for tau.
    """
    with torch.autocast(total.device.type, enabled=False):
        for texts, lines in pieces(scores):
            piece = scores[texts, :, lines].to(total.dtype)
            part = grad[texts, :, lines].flatten(2)
            found = torch.bmm(part, piece.flatten(2).transpose(1, 2)).sum(0)
            total.add_(found, alpha=_unit(scores))


def pieces(scores: Tensor) -> Iterator[tuple[slice, slice]]:
    """Slices of texts and of lines that cover ``scores``, each of at most a piece's size."""
    batch, channels, rows, length = scores.shape
    most = _PIECE.get(scores.device.type, _LARGE_PIECE)
    texts = max(1, most // max(1, channels * rows * length))
    lines = rows if texts > 1 else max(1, most // max(1, channels * length))
    for first in range(0, batch, texts):
        for line in range(0, rows, lines):
            yield slice(first, first + texts), slice(line, min(line + lines, rows))


class _MixChannels(torch.autograd.Function):
    """Converts and multiplies piece by piece, in both directions."""

    @staticmethod
    def forward(ctx: Any, tau: Tensor, scores: Tensor) -> Tensor:
        ctx.save_for_backward(tau, scores)
        return mixed(tau, scores)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        tau, scores = ctx.saved_tensors
        total = torch.zeros_like(tau)
        add_tau_gradient(total, grad, scores)
        return total, None


def _unit(scores: Tensor) -> float:
    """What 1 in the tensor is worth."""
    return 1 / 255 if scores.dtype == torch.uint8 else 1.0
