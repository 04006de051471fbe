"""Values mixed by external attention, in blocks of rows that leave out what lies in the future.

The formula is ``softmax(Z) @ V`` with the Z of :class:`llmattn.model.attention.LLMAttention`.
Autograd alone would hold the gradient of all weights, and once a layer; here it exists a piece
at a time, summed over the layers.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from llmattn.model.channels import add_tau_gradient, mixed, pieces

__all__ = ["SharedMix", "distance_logits", "mix_own"]

_BLOCKS = 4
_LEAST_ROWS = 128  # smaller products are slow

Passed = list[tuple[Tensor, Tensor]]
"""Of each layer the gradient of its mixed values, and the values."""


def distance_logits(bias: Tensor, rows: int, length: int) -> Tensor:
    """The causal matrix of a distance bias.

    ``bias``: ``(H, block_size)``. Returns the last ``rows`` rows of the ``(H, length, length)``
    matrix whose entry ``[h, i, j]`` is ``bias[h, i - j]``, and -inf for j > i.
    """
    band = bias[:, :length].flip(1)
    band = torch.nn.functional.pad(band, (0, rows - 1), value=float("-inf"))
    return band.unfold(1, length, 1).flip(1)


class SharedMix:
    """The causal weights of a batch, computed once and applied to the values of all layers.

    ``tau``: ``(H, C)``, and ``scores``: ``(B, C, T, T)``, or None both. ``bias``: ``(H, T)`` or
    more. H may be 1: all heads then have the same weights. ``dtype`` is that of the values.
    """

    def __init__(
        self,
        tau: Tensor | None,
        bias: Tensor,
        scores: Tensor | None,
        length: int,
        dtype: torch.dtype,
    ) -> None:
        self._passed: Passed = []
        # What is learned of the weights gets its gradient through the link, when all layers have
        # had theirs: autograd sees that they all use it.
        given = (tau, bias, scores, length, dtype, self._passed)
        self._link, *self._blocks = _Weights.apply(*given)  # type: ignore[no-untyped-call]

    def __call__(self, values: Tensor) -> Tensor:
        """``(B, T, width)`` -> ``(B, T, width)``; each head mixes its share of the width."""
        given = (self._link, values, self._passed, *self._blocks)
        found: Tensor = _Mix.apply(*given)  # type: ignore[no-untyped-call]
        return found


def mix_own(tau: Tensor | None, bias: Tensor, scores: Tensor | None, values: Tensor) -> Tensor:
    """What :class:`SharedMix` does, for a layer with weights of its own: these are not kept, but
    computed once more for the gradient, so that memory does not grow with the layers.
    """
    found: Tensor = _MixOwn.apply(tau, bias, scores, values)  # type: ignore[no-untyped-call]
    return found


class _Weights(torch.autograd.Function):
    """tau, b and S -> a link for autograd, and the weights in blocks of rows."""

    @staticmethod
    def forward(
        ctx: Any,
        tau: Tensor | None,
        bias: Tensor,
        scores: Tensor | None,
        length: int,
        dtype: torch.dtype,
        passed: Passed,
    ) -> tuple[Tensor, ...]:
        blocks = [_weights(tau, bias, scores, rows, dtype) for rows in _row_blocks(length)]
        ctx.save_for_backward(tau, bias, scores, *blocks)
        ctx.mark_non_differentiable(*blocks)
        ctx.set_materialize_grads(False)
        ctx.passed = passed
        return bias.new_zeros(()), *blocks

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *_: Tensor | None) -> tuple[Tensor | None, ...]:
        tau, bias, scores, *blocks = ctx.saved_tensors
        gradients = _Gradients(tau, bias)
        for weights in reversed(blocks):
            gradients.add(weights, scores, ctx.passed)
        ctx.passed.clear()
        return gradients.tau, gradients.bias, None, None, None, None


class _Mix(torch.autograd.Function):
    """The weights in blocks, applied to one layer's values."""

    @staticmethod
    def forward(ctx: Any, link: Tensor, values: Tensor, passed: Passed, *blocks: Tensor) -> Tensor:
        out = torch.empty_like(values)
        for weights in blocks:
            _apply(weights, values, out)
        ctx.save_for_backward(values, *blocks)
        ctx.passed = passed
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        values, *blocks = ctx.saved_tensors
        values_grad = torch.empty_like(values)
        for weights in reversed(blocks):
            _apply_transposed(weights, grad, values_grad)
        link = None
        if ctx.needs_input_grad[0]:
            ctx.passed.append((grad, values))
            link = grad.new_zeros(())
        return link, values_grad, None, *(None for _ in blocks)


class _MixOwn(torch.autograd.Function):
    """Both in one, for weights that one layer alone uses."""

    @staticmethod
    def forward(
        ctx: Any, tau: Tensor | None, bias: Tensor, scores: Tensor | None, values: Tensor
    ) -> Tensor:
        out = torch.empty_like(values)
        for rows in _row_blocks(values.shape[1]):
            _apply(_weights(tau, bias, scores, rows, values.dtype), values, out)
        ctx.save_for_backward(tau, bias, scores, values)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        tau, bias, scores, values = ctx.saved_tensors
        values_grad = torch.empty_like(values)
        gradients = _Gradients(tau, bias)
        learned = any(ctx.needs_input_grad[:2])
        for rows in reversed(_row_blocks(values.shape[1])):
            weights = _weights(tau, bias, scores, rows, values.dtype)
            _apply_transposed(weights, grad, values_grad)
            if learned:
                gradients.add(weights, scores, [(grad, values)])
        return gradients.tau, gradients.bias, None, values_grad


def _row_blocks(length: int) -> list[slice]:
    """Blocks of rows. One that ends at row n needs the first n columns alone."""
    step = max(_LEAST_ROWS, -(-length // _BLOCKS))
    return [slice(start, min(start + step, length)) for start in range(0, length, step)]


def _rows_of(weights: Tensor) -> slice:
    """Which rows of the whole matrix a block holds."""
    rows, columns = weights.shape[2:]
    return slice(columns - rows, columns)


def _weights(
    tau: Tensor | None, bias: Tensor, scores: Tensor | None, rows: slice, dtype: torch.dtype
) -> Tensor:
    """The weights of a block of rows, ``(B or 1, H, rows, columns)``."""
    z = distance_logits(bias, rows.stop - rows.start, rows.stop)[None]
    if tau is not None and scores is not None:
        z = mixed(tau, scores[:, :, rows, : rows.stop]).add_(z)
    return torch.softmax(z, dim=-1).to(dtype)


def _shares(weights: Tensor, width: int) -> list[slice]:
    """The share of the width that each head mixes."""
    heads = weights.shape[1]
    share = width // heads
    return [slice(head * share, (head + 1) * share) for head in range(heads)]


def _apply(weights: Tensor, values: Tensor, out: Tensor) -> None:
    """The rows of ``out`` that belong to a block of weights: ``weights @ values``."""
    rows = _rows_of(weights)
    for head, share in enumerate(_shares(weights, values.shape[2])):
        of_head = weights[:, head].expand(len(values), -1, -1)
        # Products straight into a part of a tensor are not shared out among threads.
        out[:, rows, share] = torch.bmm(of_head, values[:, : rows.stop, share])


def _apply_transposed(weights: Tensor, grad: Tensor, values_grad: Tensor) -> None:
    """A block's part of the values' gradient; the last block comes first, since it has all
    columns and writes what the others add to.
    """
    rows = _rows_of(weights)
    for head, share in enumerate(_shares(weights, grad.shape[2])):
        of_head = weights[:, head].expand(len(grad), -1, -1).transpose(1, 2)
        found = torch.bmm(of_head, grad[:, rows, share])
        if rows.stop == grad.shape[1]:
            values_grad[:, :, share] = found
        else:
            values_grad[:, : rows.stop, share] += found


class _Gradients:
    """The gradients of tau and the distance bias, summed over blocks and layers."""

    def __init__(self, tau: Tensor | None, bias: Tensor) -> None:
        self.tau = None if tau is None else torch.zeros_like(tau)
        self.bias = torch.zeros_like(bias)

    def add(self, weights: Tensor, scores: Tensor | None, passed: Passed) -> None:
        """Add what a block of weights means for both."""
        rows = _rows_of(weights)
        if self.tau is None or scores is None:
            self._add_bias(_logits_grad(weights, passed, slice(None), rows), rows)
            return
        scores = scores[:, :, rows, : rows.stop]
        for texts, lines in pieces(scores):
            place = slice(rows.start + lines.start, rows.start + lines.stop)
            grad = _logits_grad(weights[texts, :, lines], passed, texts, place)
            add_tau_gradient(self.tau, grad, scores[texts, :, lines])
            self._add_bias(grad, place)

    def _add_bias(self, grad: Tensor, rows: slice) -> None:
        """``grad``: of the logits of ``rows``, ``(B or 1, H, n, columns)``."""
        heads, count, columns = grad.shape[1:]
        # In a matrix this wide, going down and to the right by one is a fixed step: each diagonal
        # becomes a column, the longest distance first.
        wide = columns + count - 1
        padded = grad.new_zeros(heads, count, wide)
        torch.sum(grad, 0, out=padded[:, :, count - 1 :])
        diagonals = padded.as_strided((heads, count, rows.stop), (count * wide, wide + 1, 1))
        self.bias[:, : rows.stop] += diagonals.sum(1).flip(1)


def _logits_grad(weights: Tensor, passed: Passed, texts: slice, rows: slice) -> Tensor:
    """The gradient of a piece's logits, in float32 or more, from those of all layers' outputs."""
    exact = torch.promote_types(weights.dtype, torch.float32)
    grad = torch.empty_like(weights, dtype=exact)
    for head, share in enumerate(_shares(weights, passed[0][0].shape[2])):
        of_head = weights[:, head]
        total = torch.zeros_like(of_head)
        for out_grad, values in passed:
            left, right = out_grad[texts, rows, share], values[texts, : weights.shape[3], share]
            if len(of_head) < len(left):  # the same weights for all texts: their gradients' sum
                left, right = (part.transpose(0, 1).flatten(1)[None] for part in (left, right))
            total.baddbmm_(left, right.transpose(1, 2))
        product = total.to(exact).mul_(of_head)
        torch.addcmul(product, of_head, product.sum(-1, keepdim=True), value=-1, out=grad[:, head])
    return grad
