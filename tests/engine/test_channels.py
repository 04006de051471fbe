"""The mix of channels: the same numbers as the formula's, and the same gradient."""

from __future__ import annotations

import pytest
import torch
from llmattn.model.attention import mix_channels
from torch import Tensor


def plain(tau: Tensor, scores: Tensor) -> Tensor:
    return torch.einsum("hk,bkij->bhij", tau, scores.to(tau.dtype))


@pytest.mark.parametrize("shape", [(3, 2, 4, 4), (2, 30, 1, 9), (2, 270, 64, 64), (1, 40, 3, 20)])
def test_mix_and_its_gradient_are_those_of_the_formula(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    scores = torch.rand(shape).half()
    tau = torch.randn(4, shape[1], dtype=torch.float64, requires_grad=True)
    expected = plain(tau, scores)
    upstream = torch.randn_like(expected)
    (wanted,) = torch.autograd.grad(expected, tau, upstream)
    for laid_out in (scores, scores.transpose(0, 1).contiguous().transpose(0, 1)):
        found = mix_channels(tau, laid_out)
        (gradient,) = torch.autograd.grad(found, tau, upstream)
        assert torch.allclose(found, expected)
        assert torch.allclose(gradient, wanted)


def test_of_bytes_255_stands_for_one() -> None:
    scores = torch.randint(0, 256, (2, 3, 5, 5), dtype=torch.uint8)
    tau = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
    expected = plain(tau, scores / 255.0)
    upstream = torch.randn_like(expected)
    (wanted,) = torch.autograd.grad(expected, tau, upstream)
    found = mix_channels(tau, scores)
    (gradient,) = torch.autograd.grad(found, tau, upstream)
    assert torch.allclose(found, expected, atol=1e-6)
    assert torch.allclose(gradient, wanted, atol=1e-4)
