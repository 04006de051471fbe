"""The head and its cross-entropy, a piece of the logits at a time."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["head_loss"]

_PIECE = {"cpu": 1 << 23}
"""Logits held at once, by kind of device: 32 MB of float32 on a CPU."""
_LARGE_PIECE = 1 << 26


def head_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy of ``softmax(hidden @ weight.T)`` in nats, float32 or more.

    ``hidden``: ``(N, width)``; ``weight``: ``(V, width)``; ``targets``: ``(N,)``. The gradients
    are found along with the loss, so that of the ``(N, V)`` logits, in a small model by far the
    largest tensor, no more than a piece exists at a time. Under autocast products are taken in
    its type.
    """
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    learns = torch.is_grad_enabled() and (hidden.requires_grad or weight.requires_grad)
    if not learns:
        return _loss(hidden, weight, targets, None, None)
    loss: Tensor = _HeadLoss.apply(hidden, weight, targets)  # type: ignore[no-untyped-call]
    return loss


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        hidden_grad = torch.empty_like(hidden)
        weight_grad = torch.zeros_like(weight, dtype=_exact(hidden))
        loss = _loss(hidden, weight, targets, hidden_grad, weight_grad)
        ctx.save_for_backward(hidden_grad, weight_grad)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        hidden_grad, weight_grad = ctx.saved_tensors
        scale = grad / len(hidden_grad)
        return hidden_grad * scale.to(hidden_grad.dtype), weight_grad * scale, None


def _loss(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    hidden_grad: Tensor | None,
    weight_grad: Tensor | None,
) -> Tensor:
    """The mean loss. Sets ``hidden_grad`` and adds to ``weight_grad`` the gradients of its sum."""
    vocabulary = len(weight)
    if vocabulary % 8:  # products with rows of such a length are a fifth slower
        weight = F.pad(weight, (0, 0, 0, -vocabulary % 8))
    step = max(1, _PIECE.get(hidden.device.type, _LARGE_PIECE) // vocabulary)
    total = hidden.new_zeros((), dtype=_exact(hidden))
    with torch.autocast(hidden.device.type, enabled=False):
        for start in range(0, len(hidden), step):
            piece = slice(start, start + step)
            logits = F.linear(hidden[piece], weight).to(total.dtype)
            logits[:, vocabulary:] = float("-inf")
            wanted = targets[piece, None]
            margin = logits.amax(1) - logits.gather(1, wanted)[:, 0]
            shares = torch.softmax(logits, 1, out=logits)
            # The largest share never underflows, as the target's might.
            total += (margin - shares.amax(1).log()).sum()
            if hidden_grad is None or weight_grad is None:
                continue
            shares.scatter_add_(1, wanted, shares.new_full(wanted.shape, -1.0))
            shares = shares.to(weight.dtype)
            torch.mm(shares, weight, out=hidden_grad[piece])
            if weight_grad.dtype == weight.dtype:
                weight_grad.addmm_(shares[:, :vocabulary].T, hidden[piece])
            else:
                weight_grad += shares[:, :vocabulary].T @ hidden[piece]
    return total / len(hidden)


def _exact(hidden: Tensor) -> torch.dtype:
    return torch.promote_types(hidden.dtype, torch.float32)
