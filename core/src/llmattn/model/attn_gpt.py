"""AttnGPT: a small GPT whose attention weights come from outside the model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from typing import Any

import attrs
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from llmattn.data.batches import IGNORED
from llmattn.errors import CheckpointError, ConfigError
from llmattn.model.attention import (
    Given,
    KVCache,
    LLMAttention,
    imitating,
    mix_values,
    split_heads,
)
from llmattn.model.config import ModelConfig
from llmattn.model.shapes import parameter_count

__all__ = ["AttnGPT", "check_finite", "head_loss", "match_parameters"]

_PIECE = {"cpu": 1 << 23}
"""Logits held at once, by kind of device: 32 MB of float32 on a CPU."""
_LARGE_PIECE = 1 << 26


class Block(nn.Module):
    """``x + W_O concat_h(A_h (LN(x) W_V)_h)``, then ``x + MLP(LN(x))``."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        width = config.n_embd
        self.norm_1 = nn.LayerNorm(width, bias=False)
        # Values, and with query-key attention also keys and queries, in one product.
        parts = 3 if config.uses_query_key else 1
        self.project_in = nn.Linear(width, parts * width, bias=False)
        self.project_out = nn.Linear(width, width, bias=False)
        self.norm_2 = nn.LayerNorm(width, bias=False)
        self.mlp_in = nn.Linear(width, config.hidden_width, bias=False)
        self.mlp_out = nn.Linear(config.hidden_width, width, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self,
        x: Tensor,
        given: Given,
        layer: int = 0,
        cache: KVCache | None = None,
        aim: Tensor | None = None,
        apart: list[Tensor] | None = None,
    ) -> Tensor:
        """``x``: ``(B, n, width)``, of n new tokens. ``given``: of :class:`LLMAttention`. ``apart``
        takes how far the weights are from ``aim``, see :func:`imitating`.
        """
        parts = split_heads(self.project_in(self.norm_1(x)), self.config)
        if aim is not None and apart is not None:
            mixed, found = imitating(given, aim, *parts)
            apart.append(found)
        else:
            mixed = mix_values(given, *parts) if cache is None else cache.mix(layer, given, *parts)
        x = x + self.dropout(self.project_out(mixed.flatten(2)))
        hidden = F.gelu(self.mlp_in(self.norm_2(x)))
        mlp: Tensor = self.dropout(self.mlp_out(hidden))
        return x + mlp


class AttnGPT(nn.Module):
    """Token embeddings (`learned` has position embeddings too), blocks that share the attention of
    :class:`LLMAttention`, and a head that is the token embedding once more.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        # The first number after torch.manual_seed, whatever the modules below draw.
        seed = int(torch.randint(2**62, (), device="cpu"))
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.n_embd)
        if config.uses_positions:
            self.position_embedding = nn.Embedding(config.block_size, config.n_embd)
        self.dropout = nn.Dropout(config.dropout)
        self.attention = LLMAttention(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm = nn.LayerNorm(config.n_embd, bias=False)
        self._initialise(seed)

    @torch.no_grad()
    def _initialise(self, seed: int) -> None:
        """Normal weights of variance 1 / fan-in; what is added to the residual stream smaller
        by ``sqrt(2 n_layer)``, as in GPT-2.

        Each matrix has random numbers of its own, by its name: models that differ in their
        attention or in the width of their MLP start alike in all that they share.
        """
        for name, parameter in self.named_parameters():
            if parameter.dim() < 2 or name.startswith("attention."):
                continue
            if name == "position_embedding.weight":
                parameter.zero_()
                continue
            fan_in = parameter.shape[1]
            if name.endswith(("project_out.weight", "mlp_out.weight")):
                std = (2 * self.config.n_layer * fan_in) ** -0.5
            else:
                std = fan_in**-0.5
            parameter.copy_(std * _random_numbers(parameter.shape, f"{seed} {name}"))

    def parameter_count(self) -> int:
        """How many numbers are learned."""
        return sum(parameter.numel() for parameter in self.parameters())

    def logits(self, hidden: Tensor) -> Tensor:
        """``(..., n_embd)`` -> ``(..., V)``, by the token embedding."""
        return F.linear(hidden, self.token_embedding.weight)

    def hidden(
        self,
        ids: Tensor,
        scores: Tensor | None,
        cache: KVCache | None = None,
        aims: Sequence[Tensor] = (),
        apart: list[Tensor] | None = None,
    ) -> Tensor:
        """The last layer's output for n new tokens, ``(B, n, n_embd)``.

        ``ids``: ``(B, n)``. ``cache`` holds the tokens before and takes these in; without one
        they are the first. ``scores``: ``(B, C, n, T)`` with T = n plus the tokens before, or
        None if the variant needs none. ``aims``: weights that query-key attention is to resemble,
        one for each layer or one for all; ``apart`` takes how far each layer is from them.
        """
        _check_ids(ids, scores)
        rows = ids.shape[1]
        before = 0 if cache is None else cache.length
        length = before + rows
        if length > self.config.block_size:
            raise ConfigError(
                f"{length} tokens are more than the model's block size, {self.config.block_size}."
            )
        x = self.token_embedding(ids)
        if self.config.uses_positions:
            x = x + self.position_embedding(torch.arange(before, length, device=ids.device))
        x = self.dropout(x)
        given = self.attention(scores, rows, length, x)
        for layer, (block, own) in enumerate(zip(self.blocks, given, strict=True)):
            aim = aims[min(layer, len(aims) - 1)] if aims else None
            x = block(x, own, layer, cache, aim, apart)
        if cache is not None:
            cache.length = length
        return self.norm(x)  # type: ignore[no-any-return]

    def forward(
        self,
        ids: Tensor,
        scores: Tensor | None = None,
        targets: Tensor | None = None,
        aims: Sequence[Tensor] = (),
    ) -> tuple[Tensor | None, Tensor | None]:
        """Logits, or with ``targets`` the loss.

        ``ids``: int64 ``(B, T)``. ``scores``: ``(B, C, T, T)``, see :meth:`hidden`.
        Without targets: logits ``(B, T, V)`` and None. With targets ``(B, T)``: None and the
        mean cross-entropy, in nats, of the positions whose target is not IGNORED; of a large
        batch's logits no more than a piece exists at a time. With ``aims`` (see :meth:`hidden`) the
        first of the two is the mean of how far the weights are from them, in nats, over the same
        positions, heads and layers.
        """
        apart: list[Tensor] = []
        x = self.hidden(ids, scores, None, aims, apart)
        if targets is None:
            return self.logits(x), None
        if targets.shape != ids.shape:
            raise ConfigError(
                f"Targets must have the shape of ids, {tuple(ids.shape)}, not "
                f"{tuple(targets.shape)}."
            )
        keep = targets != IGNORED
        loss = head_loss(x[keep], self.token_embedding.weight, targets[keep])
        if not apart:
            return None, loss
        return torch.stack([found.mean(1)[keep].mean() for found in apart]).mean(), loss


def _check_ids(ids: Tensor, scores: Tensor | None) -> None:
    """Raise ConfigError for what is no batch of texts, or scores of another batch."""
    if ids.dim() != 2 or ids.dtype not in (torch.int32, torch.int64):
        raise ConfigError(
            f"Token ids must be int64 of the shape (batch, tokens), not {ids.dtype} of "
            f"{tuple(ids.shape)}."
        )
    if scores is not None and scores.dim() == 4 and scores.shape[0] not in (1, ids.shape[0]):
        raise ConfigError(
            f"Scores of {scores.shape[0]} texts do not fit token ids of {ids.shape[0]}: both must "
            "have the same first dimension."
        )


def check_finite(numbers: Tensor) -> None:
    """Raise CheckpointError unless what a model has computed are numbers."""
    if not torch.isfinite(numbers).all():
        raise CheckpointError(
            "What the model computes is too large for a number: its weights were damaged, or its "
            "training went wrong. Take another checkpoint, or train again with a smaller --lr."
        )


def _random_numbers(shape: torch.Size, name: str) -> Tensor:
    """Standard normal, by ``name``. A row or column more leaves the others as they are, so that
    an MLP has the units of a narrower one, and W_V is the same beside queries and keys.
    """
    digest = hashlib.blake2b(name.encode(), digest_size=8).digest()
    random = np.random.default_rng(int.from_bytes(digest, "big"))
    by_column = name.endswith("mlp_out.weight")
    drawn = random.standard_normal(shape[::-1] if by_column else shape, dtype=np.float32)
    return torch.from_numpy(drawn.T if by_column else drawn)


def match_parameters(config: ModelConfig, reference: ModelConfig) -> ModelConfig:
    """``config`` with the MLP width that makes it as large as ``reference``, within 1%.

    The width is a multiple of 8 if one will do: others make products up to 40% slower. Raises
    ConfigError if no width does.
    """
    wanted = parameter_count(reference)
    least = parameter_count(attrs.evolve(config, mlp_width=1))
    a_unit = 2 * config.n_embd * config.n_layer
    exact = 1 + (wanted - least) / a_unit
    for width in (8 * round(exact / 8), round(exact)):
        if width > 0 and math.isclose(least + (width - 1) * a_unit, wanted, rel_tol=0.01):
            return attrs.evolve(config, mlp_width=width)
    raise ConfigError(
        f"No MLP width gives {config.attention} attention the {wanted:,} parameters of "
        f"{reference.attention}."
    )


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
