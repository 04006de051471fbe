"""The fast mix of values: in value and gradient that of the plain formula."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from llmattn.model.attn_gpt import AttnGPT
from llmattn.model.loss import head_loss
from llmattn.model.mixing import SharedMix, mix_own
from support_engine import lively_model, small_config
from torch import Tensor

HEADS, WIDTH, LAYERS = 2, 6, 3
# One block of rows, blocks that come out even, blocks of which the last is short.
lengths = pytest.mark.parametrize("length", [1, 7, 128, 150, 300])
kinds = pytest.mark.parametrize("channels", [0, 1, 3])


def plain_weights(tau: Tensor | None, bias: Tensor, scores: Tensor | None, length: int) -> Tensor:
    distance = torch.arange(length)[:, None] - torch.arange(length)
    z = bias[:, distance.clamp(min=0)].masked_fill(distance < 0, float("-inf"))[None]
    if tau is not None and scores is not None:
        z = z + torch.einsum("hk,bkij->bhij", tau, scores.to(tau.dtype))
    return z.softmax(-1)


def plain_mix(weights: Tensor, values: Tensor) -> Tensor:
    heads = values.view(*values.shape[:2], weights.shape[1], -1).transpose(1, 2)
    mixed: Tensor = (weights @ heads).transpose(1, 2).flatten(2)
    return mixed


def drawn(
    channels: int, length: int, heads: int = HEADS
) -> tuple[Tensor | None, Tensor, Tensor | None]:
    torch.manual_seed(0)
    bias = torch.randn(heads, length + 5, dtype=torch.float64, requires_grad=True)
    if not channels:
        return None, bias, None
    tau = torch.randn(heads, channels, dtype=torch.float64, requires_grad=True)
    return tau, bias, torch.rand(2, channels, length, length).half()


def learned(tau: Tensor | None, bias: Tensor, values: Tensor) -> list[Tensor]:
    return [each for each in (tau, bias, values) if each is not None]


@lengths
@kinds
def test_shared_weights_mix_all_layers_as_the_formula_does(channels: int, length: int) -> None:
    tau, bias, scores = drawn(channels, length)
    values = torch.randn(LAYERS, 2, length, WIDTH, dtype=torch.float64, requires_grad=True)
    weights = plain_weights(tau, bias, scores, length)
    expected = values.sum(0)
    for layer in range(LAYERS):
        expected = plain_mix(weights, expected + values[layer])
    shared = SharedMix(tau, bias, scores, length, torch.float64)
    found = values.sum(0)
    for layer in range(LAYERS):
        found = shared(found + values[layer])
    assert torch.allclose(found, expected)
    upstream = torch.randn_like(found)
    wanted = torch.autograd.grad(expected, learned(tau, bias, values), upstream)
    gradients = torch.autograd.grad(found, learned(tau, bias, values), upstream)
    for gradient, right in zip(gradients, wanted, strict=True):
        assert torch.allclose(gradient, right)


@lengths
@kinds
def test_weights_of_one_layer_mix_as_the_formula_does(channels: int, length: int) -> None:
    tau, bias, scores = drawn(channels, length)
    values = torch.randn(2, length, WIDTH, dtype=torch.float64, requires_grad=True)
    expected = plain_mix(plain_weights(tau, bias, scores, length), values)
    found = mix_own(tau, bias, scores, values)
    assert torch.allclose(found, expected)
    upstream = torch.randn_like(found)
    wanted = torch.autograd.grad(expected, learned(tau, bias, values), upstream)
    gradients = torch.autograd.grad(found, learned(tau, bias, values), upstream)
    for gradient, right in zip(gradients, wanted, strict=True):
        assert torch.allclose(gradient, right)


def test_one_row_of_weights_for_all_heads_mixes_the_whole_width() -> None:
    tau, bias, scores = drawn(3, 9, heads=1)
    values = torch.randn(2, 9, WIDTH, dtype=torch.float64, requires_grad=True)
    expected = plain_mix(plain_weights(tau, bias, scores, 9), values)
    found = mix_own(tau, bias, scores, values)
    assert torch.allclose(found, expected)
    for gradient, right in zip(
        torch.autograd.grad(found.sin().sum(), learned(tau, bias, values)),
        torch.autograd.grad(expected.sin().sum(), learned(tau, bias, values)),
        strict=True,
    ):
        assert torch.allclose(gradient, right)


def test_channels_too_large_to_convert_at_once_give_the_same_gradient() -> None:
    torch.manual_seed(0)
    length, channels = 130, 70
    scores = torch.rand(1, channels, length, length).half()
    tau = torch.randn(HEADS, channels, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(HEADS, length, dtype=torch.float64, requires_grad=True)
    values = torch.randn(1, length, WIDTH, dtype=torch.float64)
    expected = plain_mix(plain_weights(tau, bias, scores, length), values)
    found = mix_own(tau, bias, scores, values)
    for gradient, right in zip(
        torch.autograd.grad(found.sin().sum(), (tau, bias)),
        torch.autograd.grad(expected.sin().sum(), (tau, bias)),
        strict=True,
    ):
        assert torch.allclose(gradient, right)


@pytest.mark.parametrize("per_layer", [False, True])
def test_held_tau_and_bias_leave_the_other_gradients_as_they_are(per_layer: bool) -> None:
    model = lively_model(small_config("external", per_layer=per_layer))
    ids = torch.tensor([[1, 5, 3, 7, 3, 9, 2, 11]])
    scores = torch.rand(1, 2, 8, 8)

    def gradients() -> dict[str, Tensor]:
        model.zero_grad(set_to_none=True)
        model(ids, scores, ids)[1].backward()
        return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}

    free = gradients()
    model.attention.requires_grad_(False)
    held = gradients()
    assert set(free) - set(held) == {"attention.tau", "attention.distance_bias"}
    for name, gradient in held.items():
        assert torch.allclose(gradient, free[name], atol=1e-6)


@pytest.mark.parametrize("attention", ["external", "position", "pure", "uniform"])
def test_mixed_precision_stays_near_single_precision(attention: str) -> None:
    model = lively_model(small_config(attention, block_size=80))
    torch.manual_seed(0)
    ids = torch.randint(2, 12, (3, 80))
    scores = torch.rand(3, 2, 80, 80).half()
    exact = model(ids, scores, ids)[1]
    exact.backward()
    wanted = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad(set_to_none=True)
    with torch.autocast("cpu", torch.bfloat16):
        near = model(ids, scores, ids)[1]
    near.backward()
    assert near.item() == pytest.approx(exact.item(), rel=0.02)
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        error = (parameter.grad - wanted[name]).norm() / wanted[name].norm()
        assert error < 0.1, name


@pytest.mark.parametrize("vocabulary", [9000, 9001])
def test_head_loss_and_its_gradients_are_those_of_cross_entropy(vocabulary: int) -> None:
    torch.manual_seed(0)
    hidden = torch.randn(1500, 8, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(vocabulary, 8, dtype=torch.float64, requires_grad=True)  # several pieces
    targets = torch.randint(0, vocabulary, (1500,))
    expected = F.cross_entropy(F.linear(hidden, weight), targets)
    found = head_loss(hidden, weight, targets)
    assert torch.allclose(found, expected)
    with torch.no_grad():
        assert torch.allclose(head_loss(hidden, weight, targets), expected)
    wanted = torch.autograd.grad(expected * 3, (hidden, weight))
    gradients = torch.autograd.grad(found * 3, (hidden, weight))
    for gradient, right in zip(gradients, wanted, strict=True):
        assert torch.allclose(gradient, right)


def test_head_loss_stays_finite_where_the_targets_share_underflows() -> None:
    hidden = torch.tensor([[1000.0]], requires_grad=True)
    weight = torch.tensor([[1.0], [0.0]], requires_grad=True)
    loss = head_loss(hidden, weight, torch.tensor([1]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == pytest.approx(1000.0)
    assert hidden.grad is not None
    assert hidden.grad.item() == pytest.approx(1.0)


def test_the_gradient_accumulates_over_two_batches() -> None:
    model = AttnGPT(small_config("external"))
    ids = torch.tensor([[1, 5, 3, 7, 3, 9, 2, 11]])
    scores = torch.rand(1, 2, 8, 8)
    bias = model.attention.distance_bias
    (once,) = torch.autograd.grad(model(ids, scores, ids)[1], bias)
    for _ in range(2):
        model(ids, scores, ids)[1].backward()
    assert bias.grad is not None
    assert torch.allclose(bias.grad, 2 * once)
