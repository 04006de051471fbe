"""AttnGPT: a small GPT whose attention weights come from outside the model."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable
from functools import partial

import attrs
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llmattn.data.batches import IGNORED
from llmattn.errors import CheckpointError, ConfigError
from llmattn.model.attention import LLMAttention
from llmattn.model.config import ModelConfig
from llmattn.model.kv_cache import KVCache
from llmattn.model.loss import head_loss
from llmattn.model.shapes import parameter_count

__all__ = ["AttnGPT", "check_finite", "match_parameters"]

Attend = Callable[[Tensor], Tensor]
"""Attention of one layer: ``(B, n, width)`` values of n new tokens; with query-key attention
values, keys and queries, three times as wide -> ``(B, n, width)``, the heads side by side.
"""


class Block(nn.Module):
    """``x + W_O concat_h(A_h (LN(x) W_V)_h)``, then ``x + MLP(LN(x))``."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
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

    def forward(self, x: Tensor, attend: Attend) -> Tensor:
        """``x``: ``(B, n, width)``."""
        mixed = attend(self.project_in(self.norm_1(x)))
        x = x + self.dropout(self.project_out(mixed))
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

    def hidden(self, ids: Tensor, scores: Tensor | None, cache: KVCache | None = None) -> Tensor:
        """The last layer's output for n new tokens, ``(B, n, n_embd)``.

        ``ids``: ``(B, n)``. ``cache`` holds the tokens before and takes these in; without one
        they are the first. ``scores``: ``(B, C, n, T)`` with T = n plus the tokens before, or
        None if the variant needs none.
        """
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
        attends = self._attends(scores, rows, length, x, cache)
        for block, attend in zip(self.blocks, attends, strict=True):
            x = block(x, attend)
        if cache is not None:
            cache.length = length
        return self.norm(x)  # type: ignore[no-any-return]

    def _attends(
        self, scores: Tensor | None, rows: int, length: int, x: Tensor, cache: KVCache | None
    ) -> Iterable[Attend]:
        """The attention of each layer, in order."""
        config, whole = self.config, rows == length
        if not config.uses_query_key and whole and not torch.compiler.is_compiling():
            mixes = self.attention.mixes(scores, length, x, _product_type(x))
            for layer, mix in enumerate(mixes):
                yield mix if cache is None else partial(self._keep_and_mix, mix, layer, cache)
            return
        given = None
        for layer in range(config.n_layer):
            if config.per_layer or layer == 0:
                if not config.uses_query_key:
                    given = self.attention(scores, rows, length, x, layer)
                elif config.uses_scores or config.uses_distance or 1 < rows < length:
                    given = self.attention.logits(scores, rows, length, x, layer)
            yield partial(self._attend, given, layer, cache)

    def _attend(
        self, given: Tensor | None, layer: int, cache: KVCache | None, projected: Tensor
    ) -> Tensor:
        """``given``: weights ``(B or 1, H or 1, n, T)``, or with query-key attention logits to
        add (None: causal alone).
        """
        heads = self._heads(projected)
        kept = heads[:-1] if self.config.uses_query_key else heads
        if cache is not None:
            kept = cache.extend(layer, kept)
        if self.config.uses_query_key:
            queries = heads[2]
            causal = given is None and queries.shape[2] > 1
            mixed = F.scaled_dot_product_attention(
                queries, kept[1], kept[0], attn_mask=given, is_causal=causal
            )
        else:
            assert given is not None
            mixed = cache.mix(layer, given) if cache else given.to(kept[0].dtype) @ kept[0]
        return mixed.transpose(1, 2).flatten(2)

    def _keep_and_mix(self, mix: Attend, layer: int, cache: KVCache, values: Tensor) -> Tensor:
        cache.extend(layer, self._heads(values))
        return mix(values)

    def _heads(self, projected: Tensor) -> list[Tensor]:
        """``(B, n, parts * width)`` -> each part as ``(B, H, n, d)``."""
        batch, rows, _ = projected.shape
        return [
            part.view(batch, rows, self.config.n_head, -1).transpose(1, 2)
            for part in torch.split(projected, self.config.n_embd, dim=2)
        ]

    def forward(
        self, ids: Tensor, scores: Tensor | None = None, targets: Tensor | None = None
    ) -> tuple[Tensor | None, Tensor | None]:
        """Logits, or with ``targets`` the loss.

        ``ids``: int64 ``(B, T)``. ``scores``: ``(B, C, T, T)``, see :meth:`hidden`.
        Without targets: logits ``(B, T, V)`` and None. With targets ``(B, T)``: None and the
        mean cross-entropy, in nats, of the positions whose target is not IGNORED; of a large
        batch's logits no more than a piece exists at a time.
        """
        x = self.hidden(ids, scores)
        if targets is None:
            return self.logits(x), None
        keep = (targets != IGNORED).flatten()
        x, wanted = x.flatten(0, 1)[keep], targets.flatten()[keep]
        return None, head_loss(x, self.token_embedding.weight, wanted)


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


def _product_type(x: Tensor) -> torch.dtype:
    """The type in which matrices are multiplied, which autocast may have changed."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


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
