"""AttnGPT: a small GPT whose attention weights come from outside the model."""

from __future__ import annotations

import math

import attrs
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from llmattn.data.batches import IGNORED
from llmattn.errors import ConfigError
from llmattn.model.attention import LLMAttention
from llmattn.model.config import ModelConfig

__all__ = ["AttnGPT", "match_parameters"]

Cache = list[tuple[Tensor, ...]]
"""One entry a layer: values ``(B, H, t, d)`` of the tokens so far, after them keys if any."""


class Block(nn.Module):
    """``x + W_O concat_h(A_h (LN(x) W_V)_h)``, then ``x + MLP(LN(x))``."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        width = config.n_embd
        self.n_head = config.n_head
        self.query_key = config.uses_query_key
        self.norm_1 = nn.LayerNorm(width, bias=False)
        # Values, and with query-key attention also keys and queries, in one product.
        self.project_in = nn.Linear(width, (3 if self.query_key else 1) * width, bias=False)
        self.project_out = nn.Linear(width, width, bias=False)
        self.norm_2 = nn.LayerNorm(width, bias=False)
        self.mlp_in = nn.Linear(width, config.hidden_width, bias=False)
        self.mlp_out = nn.Linear(config.hidden_width, width, bias=False)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, attention: Tensor | None, cache: tuple[Tensor, ...] | None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """``x``: ``(B, n, width)``, the last n of T tokens. ``attention``: ``(B or 1, H or 1, n,
        T)``, the weights, or with query-key attention logits to add (None: causal alone, and
        n = T). ``cache``: this layer's entry for the T - n tokens before.
        """
        batch, rows, width = x.shape
        heads = self.project_in(self.norm_1(x)).view(
            batch, rows, -1, self.n_head, width // self.n_head
        )
        new = heads.permute(2, 0, 3, 1, 4)  # (1 or 3, B, H, n, d)
        kept = tuple(new[:2])
        if cache is not None:
            kept = tuple(torch.cat(both, dim=2) for both in zip(cache, kept, strict=True))
        if self.query_key:
            mixed = F.scaled_dot_product_attention(
                new[2], kept[1], kept[0], attn_mask=attention, is_causal=attention is None
            )
        else:
            assert attention is not None
            mixed = mix(attention, kept[0])
        mixed = mixed.transpose(1, 2).reshape(batch, rows, width)
        x = x + self.dropout(self.project_out(mixed))
        hidden = F.gelu(self.mlp_in(self.norm_2(x)))
        return x + self.dropout(self.mlp_out(hidden)), kept


def mix(weights: Tensor, values: Tensor) -> Tensor:
    """``weights @ values``: ``(B or 1, H or 1, n, T)`` and ``(B, H, T, d)`` -> ``(B, H, n, d)``."""
    if weights.shape[0] > 1 or values.shape[0] == 1:
        return weights.expand(-1, values.shape[1], -1, -1) @ values
    # The same weights for the whole batch: one product a head, instead of B copies of them.
    batch, heads, length, width = values.shape
    wide = values.permute(1, 2, 0, 3).reshape(heads, length, batch * width)
    mixed = weights[0].expand(heads, -1, -1) @ wide
    return mixed.view(heads, -1, batch, width).permute(2, 0, 1, 3)


class AttnGPT(nn.Module):
    """Token embeddings (`learned` has position embeddings too), blocks that share the attention of
    :class:`LLMAttention`, and a head that is the token embedding once more.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.token_embedding = nn.Embedding(config.vocab_size, config.n_embd)
        if config.uses_positions:
            self.position_embedding = nn.Embedding(config.block_size, config.n_embd)
        self.dropout = nn.Dropout(config.dropout)
        self.attention = LLMAttention(config)
        self.blocks = nn.ModuleList(Block(config) for _ in range(config.n_layer))
        self.norm = nn.LayerNorm(config.n_embd, bias=False)
        self._initialise()

    def _initialise(self) -> None:
        """Normal weights of variance 1 / fan-in; what is added to the residual stream smaller
        by ``sqrt(2 n_layer)``, as in GPT-2.
        """
        for name, parameter in self.named_parameters():
            if name == "position_embedding.weight":
                nn.init.zeros_(parameter)
            elif name == "token_embedding.weight":
                nn.init.normal_(parameter, std=self.config.n_embd**-0.5)
            elif name.endswith(("project_out.weight", "mlp_out.weight")):
                std = (2 * self.config.n_layer * parameter.shape[1]) ** -0.5
                nn.init.normal_(parameter, std=std)
            elif parameter.dim() == 2 and not name.startswith("attention."):
                nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)

    def parameter_count(self) -> int:
        """How many numbers are learned."""
        return sum(parameter.numel() for parameter in self.parameters())

    def logits(self, hidden: Tensor) -> Tensor:
        """``(..., n_embd)`` -> ``(..., V)``, by the token embedding."""
        return F.linear(hidden, self.token_embedding.weight)

    def hidden(
        self, ids: Tensor, scores: Tensor | None, cache: Cache | None = None
    ) -> tuple[Tensor, Cache]:
        """The last layer's output for n new tokens, and the cache for the tokens after them.

        ``ids``: ``(B, n)``. ``scores``: ``(B, C, n, T)`` with T = n plus the tokens in
        ``cache``, or None if the variant needs none. Returns ``(B, n, n_embd)`` and the cache.
        """
        rows = ids.shape[1]
        before = cache[0][0].shape[2] if cache else 0
        length = before + rows
        if length > self.config.block_size:
            raise ConfigError(
                f"{length} tokens are more than the model's block size, {self.config.block_size}."
            )
        x = self.token_embedding(ids)
        if self.config.uses_positions:
            x = x + self.position_embedding(torch.arange(before, length, device=ids.device))
        x = self.dropout(x)
        attention = self._attention(scores, rows, length, x)
        new_cache: Cache = []
        for layer, block in enumerate(self.blocks):
            if self.config.per_layer and layer > 0:
                attention = self._attention(scores, rows, length, x, layer)
            x, kept = block(x, attention, cache[layer] if cache else None)
            new_cache.append(kept)
        return self.norm(x), new_cache

    def _attention(
        self, scores: Tensor | None, rows: int, length: int, x: Tensor, layer: int = 0
    ) -> Tensor | None:
        """What a block gets: weights, or the logits that query-key attention adds."""
        config = self.config
        if not config.uses_query_key:
            return self.attention(scores, rows, length, x, layer)  # type: ignore[no-any-return]
        if config.uses_scores or config.uses_distance or rows < length:
            return self.attention.logits(scores, rows, length, x, layer)
        return None

    def forward(
        self, ids: Tensor, scores: Tensor | None = None, targets: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Logits, and with ``targets`` the loss.

        ``ids``: int64 ``(B, T)``. ``scores``: ``(B, C, T, T)``, see :meth:`hidden`.
        Without targets: logits ``(B, T, V)`` and None. With targets ``(B, T)``: logits
        ``(N, V)`` of the N positions whose target is not IGNORED (the head is most of the work
        of a small model), and their mean cross-entropy in nats.
        """
        x, _ = self.hidden(ids, scores)
        if targets is None:
            return self.logits(x), None
        keep = (targets != IGNORED).flatten()
        logits = self.logits(x.flatten(0, 1)[keep])
        return logits, F.cross_entropy(logits.float(), targets.flatten()[keep])


def match_parameters(config: ModelConfig, reference: ModelConfig) -> ModelConfig:
    """``config`` with the MLP width that makes it as large as ``reference``, within 1%.

    Raises ConfigError if no width does.
    """
    with torch.device("meta"):
        wanted = AttnGPT(reference).parameter_count()
        least = AttnGPT(attrs.evolve(config, mlp_width=1)).parameter_count()
    a_unit = 2 * config.n_embd * config.n_layer
    width = 1 + round((wanted - least) / a_unit)
    if width < 1 or not math.isclose(least + (width - 1) * a_unit, wanted, rel_tol=0.01):
        raise ConfigError(
            f"No MLP width gives {config.attention} attention the {wanted:,} parameters of "
            f"{reference.attention}."
        )
    return attrs.evolve(config, mlp_width=width)
