"""Weights in blocks of rows, and the head in pieces: in value and gradient the plain formulae."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from llmattn.model.attention import LLMAttention, mix_channels, mix_values, split_heads
from llmattn.model.attn_gpt import AttnGPT, head_loss
from support_engine import lively_model, small_config
from torch import Tensor

HEADS, WIDTH, LAYERS = 2, 6, 3
# One block of rows, blocks that come out even, blocks of which the last is short.
lengths = pytest.mark.parametrize("length", [1, 7, 128, 150, 300])


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


def drawn(channels: int, length: int, attention: str, **changes: Any) -> LLMAttention:
    """Attention of three layers whose tau and bias are drawn, in float64."""
    shape = {"n_layer": LAYERS, "n_head": HEADS, "n_embd": WIDTH, "block_size": length + 5}
    names = tuple(f"channel {number}" for number in range(channels))
    config = small_config(attention, channels=names, **{**shape, **changes})
    torch.manual_seed(0)
    module = LLMAttention(config).double()
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    return module


def parts(module: LLMAttention, layer: int, length: int) -> tuple[Tensor | None, Tensor]:
    """A layer's tau and its distance bias."""
    own = layer if module.config.per_layer else slice(None)
    tau = module.tau[own] if module.config.uses_scores else None
    if module.config.uses_distance:
        return tau, module.distance_bias[own]
    return tau, torch.zeros(1 if tau is None else len(tau), length, dtype=torch.float64)


def values_as_they_pass(module: LLMAttention, scores: Tensor | None, values: Tensor) -> Tensor:
    """Each layer mixes what the one before it made; ``values``: ``(L, B, T, width)``."""
    length, found = values.shape[2], values.sum(0)
    given = module(scores, length, length, values)
    for layer, own in enumerate(given):
        (heads,) = split_heads(found + values[layer], module.config)
        found = mix_values(own, heads).flatten(2)
    return found


@lengths
@pytest.mark.parametrize("per_layer", [False, True])
@pytest.mark.parametrize(
    ("attention", "channels"), [("position", 1), ("external", 1), ("external", 3)]
)
def test_layers_mix_values_as_the_formula_does(
    attention: str, channels: int, per_layer: bool, length: int
) -> None:
    compare_with_formula(drawn(channels, length, attention, per_layer=per_layer), length)


@lengths
@pytest.mark.parametrize("attention", ["pure", "uniform"])
def test_one_row_of_weights_for_all_heads_mixes_the_whole_width(
    attention: str, length: int
) -> None:
    compare_with_formula(drawn(3, length, attention), length)


def test_many_channels_have_the_gradient_of_the_formula() -> None:
    compare_with_formula(drawn(70, 130, "external"), 130)


def compare_with_formula(module: LLMAttention, length: int) -> None:
    """Value and all gradients, through three layers."""
    scores = torch.rand(2, len(module.config.channels), length, length).half()
    values = torch.randn(LAYERS, 2, length, WIDTH, dtype=torch.float64, requires_grad=True)
    expected = values.sum(0)
    for layer in range(LAYERS):
        weights = plain_weights(*parts(module, layer, length), scores, length)
        expected = plain_mix(weights, expected + values[layer])
    found = values_as_they_pass(module, scores, values)
    assert torch.allclose(found, expected)
    upstream = torch.randn_like(found)
    learned = (values, *module.parameters())
    wanted = torch.autograd.grad(expected, learned, upstream)
    gradients = torch.autograd.grad(found, learned, upstream)
    for gradient, right in zip(gradients, wanted, strict=True):
        assert torch.allclose(gradient, right)


@pytest.mark.parametrize("dtype", [torch.float16, torch.uint8])
def test_of_many_channels_no_float_copy_is_kept_for_the_gradient(dtype: torch.dtype) -> None:
    scores = torch.ones(1, 30, 40, 40).to(dtype)
    tau = torch.zeros(HEADS, 30, requires_grad=True)
    sizes: list[int] = []

    def kept(tensor: Tensor) -> Tensor:
        if tensor.is_floating_point() and tensor.element_size() == 4:
            sizes.append(tensor.numel())
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(kept, lambda tensor: tensor):
        mix_channels(tau, scores)
    assert max(sizes, default=0) < scores.numel()


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
