"""The head and its cross-entropy, a few rows of logits at a time."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["head_loss"]

_PIECE = {"cpu": 1 << 21}
"""Logits held at once, by kind of device."""
_LARGE_PIECE = 1 << 26


def head_loss(hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
    """The mean cross-entropy of ``softmax(hidden @ weight.T)`` in nats, float32 or more.

    ``hidden``: ``(N, width)``; ``weight``: ``(V, width)``; ``targets``: ``(N,)``. The gradients
    are found along with the loss, so the ``(N, V)`` logits, in a small model by far the largest
    tensor, never exist as a whole. Under autocast products are taken in its type.
    """
    device = hidden.device.type
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
        hidden, weight = hidden.to(dtype), weight.to(dtype)
    loss: Tensor = _HeadLoss.apply(hidden, weight, targets)  # type: ignore[no-untyped-call]
    return loss


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, targets: Tensor) -> Tensor:
        size, vocabulary = len(hidden), len(weight)
        exact = torch.promote_types(hidden.dtype, torch.float32)
        learns = any(ctx.needs_input_grad[:2])
        hidden_grad = torch.empty_like(hidden) if learns else None
        weight_grad = torch.zeros_like(weight, dtype=exact) if learns else None
        total = hidden.new_zeros((), dtype=exact)
        step = max(1, _PIECE.get(hidden.device.type, _LARGE_PIECE) // vocabulary)
        with torch.autocast(hidden.device.type, enabled=False):
            for start in range(0, size, step):
                piece = slice(start, start + step)
                logits = F.linear(hidden[piece], weight).to(exact)
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
                    weight_grad.addmm_(shares.T, hidden[piece])
                else:
                    weight_grad += shares.T @ hidden[piece]
        if hidden_grad is not None and weight_grad is not None:
            ctx.save_for_backward(hidden_grad, weight_grad)
            ctx.size = size
        return total / size

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
        hidden_grad, weight_grad = ctx.saved_tensors
        scale = grad / ctx.size
        return hidden_grad * scale.to(hidden_grad.dtype), weight_grad * scale, None
