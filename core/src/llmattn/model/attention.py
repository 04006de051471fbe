"""Where a score becomes a weight: external scores, the causal weights that the model makes of
them, the values that these mix, and what decoding keeps of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from llmattn.model.config import ModelConfig

__all__ = [
    "Given",
    "KVCache",
    "LLMAttention",
    "attention_logits",
    "attention_weights",
    "imitating",
    "mix_channels",
    "mix_values",
    "split_heads",
]

_BLOCKS = 4
_LEAST_ROWS = 128  # smaller products are slow

Given = Sequence[Tensor]
"""What a layer mixes its values with: weights in blocks of rows, ``(B or 1, H or 1, rows,
columns)``, each with the columns up to its last row alone. With query-key attention the logits to
add to its own, ``(B or 1, H or 1, n, T)``, or nothing if these are causal alone.
"""


def attention_weights(
    tau: Tensor | None, bias: Tensor, scores: Tensor | None, rows: int, length: int
) -> Tensor:
    """``A[h, i, j] = softmax_j(Z[h, i, j])`` of :func:`attention_logits`, in the same shape: no
    weight is below 0, none lies in the future, and each row sums to 1.
    """
    return torch.softmax(attention_logits(tau, bias, scores, rows, length), dim=-1)


def attention_logits(
    tau: Tensor | None, bias: Tensor, scores: Tensor | None, rows: int, length: int
) -> Tensor:
    """``Z[h, i, j] = sum_k tau[h, k] * S[k, i, j] + b[h, i - j]`` for j <= i, else -inf.

    ``tau``: ``(H, C)``, and ``scores``: ``(B, C, rows, length)``, or None both. ``bias``:
    ``(H, length)`` or more. H may be 1: all heads are then alike. Returns the last ``rows`` of
    ``length`` rows, ``(B or 1, H, rows, length)``.
    """
    band = F.pad(bias[:, :length].flip(1), (0, rows - 1), value=float("-inf"))
    by_distance = band.unfold(1, length, 1).flip(1)[None]
    if tau is None or scores is None:
        return by_distance
    return mix_channels(tau, scores) + by_distance


def mix_channels(tau: Tensor, scores: Tensor) -> Tensor:
    """``sum_k tau[h, k] * scores[b, k, i, j]``, ``(B, H, n, T)`` in tau's type.

    ``tau``: ``(H, C)``. ``scores``: ``(B, C, n, T)``, of any float type, or uint8, where 255
    stands for 1. They are given: the gradient goes to ``tau`` alone.
    """
    heads, channels = tau.shape
    if channels > heads and torch.is_grad_enabled() and tau.requires_grad:
        # A float copy of the scores would be larger than all weights: converted again for the
        # gradient, it need not be kept.
        found: Tensor = checkpoint(
            _mix_channels, tau, scores, use_reentrant=False, preserve_rng_state=False
        )
        return found
    return _mix_channels(tau, scores)


def _mix_channels(tau: Tensor, scores: Tensor) -> Tensor:
    with torch.autocast(tau.device.type, enabled=False):
        each = scores.to(tau.dtype).flatten(2)
        unit = 1 / 255 if scores.dtype == torch.uint8 else 1.0
        mixed = torch.bmm((tau * unit).expand(len(each), -1, -1), each)
    return mixed.view(*mixed.shape[:2], *scores.shape[2:])


def split_heads(projected: Tensor, config: ModelConfig) -> list[Tensor]:
    """``(B, n, parts * n_embd)`` -> values, and with query-key attention keys and queries,
    ``(B, H, n, d)`` each.
    """
    size, rows, _ = projected.shape
    return [
        part.view(size, rows, config.n_head, -1).transpose(1, 2)
        for part in torch.split(projected, config.n_embd, dim=2)
    ]


def mix_values(given: Given, values: Tensor, *keys_and_queries: Tensor) -> Tensor:
    """``weights @ values`` of each head, ``(B, n, H, d)`` for n new tokens.

    ``values``: ``(B, H, T, d)``. With query-key attention also keys ``(B, H, T, d)`` and queries
    ``(B, H, n, d)``, whose products, scaled, are the logits to which ``given`` adds.
    """
    if not keys_and_queries:
        # einsum, unlike matmul, makes no copies of weights that all texts or heads share.
        blocks = [
            torch.einsum("bhij,bhjd->bihd", weights, values[:, :, : weights.shape[3]])
            for weights in given
        ]
        return blocks[0] if len(blocks) == 1 else torch.cat(blocks, dim=1)
    keys, queries = keys_and_queries
    logits = given[0] if given else None
    causal = logits is None and queries.shape[2] > 1
    mixed = F.scaled_dot_product_attention(
        queries, keys, values, attn_mask=logits, is_causal=causal
    )
    return mixed.transpose(1, 2)


def imitating(
    given: Given, aim: Tensor, values: Tensor, keys: Tensor, queries: Tensor
) -> tuple[Tensor, Tensor]:
    """:func:`mix_values` of whole texts with query-key attention, and how far its weights are from
    ``aim``: ``KL(aim || weights)`` of each row, ``(B, H, T)``, in nats.

    ``aim``: weights ``(B or 1, H or 1, T, T)``, which are given.
    """
    length = queries.shape[2]
    logits = queries @ keys.transpose(2, 3) / keys.shape[3] ** 0.5
    if given:
        logits = logits + given[0]
    else:
        future = torch.ones(length, length, dtype=torch.bool, device=logits.device).triu(1)
        logits = logits.masked_fill(future, float("-inf"))
    shares = torch.log_softmax(logits.float(), dim=-1)
    mixed = shares.exp().to(values.dtype) @ values
    # Where nothing is aimed at, above all in the future, there is nothing to be missed.
    missed = aim * shares.masked_fill(aim == 0, 0.0)
    apart = -(torch.special.entr(aim) + missed).sum(-1)
    return mixed.transpose(1, 2), apart


class LLMAttention(nn.Module):
    """Mixes the channels of external scores into causal attention, for all layers at once.

    The formula is that of :func:`attention_logits`. The scores S are given; tau and b are
    learned. The scale of scores in [0, 1] must be learned: with tau = 1 the largest weight of a
    row is at most e times the smallest. With ``config.per_layer`` there are as many tau and b as
    layers (a first dimension more), and ``layer`` chooses among them.

    In all methods ``scores`` is ``(B, C, rows, length)``, or None if the variant needs none, and
    ``like`` gives type and device. They are about the last ``rows`` of ``length`` tokens.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        channels = len(config.channels)
        layers = (config.n_layer,) if config.per_layer else ()
        if config.has_one_tau:
            self.tau = nn.Parameter(torch.full((1, channels), 1.0 / channels))
        elif config.uses_scores:
            self.tau = nn.Parameter(torch.zeros(*layers, config.n_head, channels))
        if config.uses_distance:
            shape = (*layers, config.n_head, config.block_size)
            self.distance_bias = nn.Parameter(torch.zeros(shape))

    def forward(
        self, scores: Tensor | None, rows: int, length: int, like: Tensor, layer: int = 0
    ) -> Given:
        """What :func:`mix_values` takes, of a layer."""
        config = self.config
        if config.uses_query_key:
            more = config.uses_scores or config.uses_distance or 1 < rows < length
            return [self.logits(scores, rows, length, like, layer)] if more else []
        dtype = _product_type(like)
        before = length - rows
        return [
            self.weights(
                None if scores is None else scores[:, :, start - before : end - before, :end],
                end - start,
                end,
                like,
                layer,
            ).to(dtype)
            for start, end in _row_blocks(before, length)
        ]

    def weights(
        self, scores: Tensor | None, rows: int, length: int, like: Tensor, layer: int = 0
    ) -> Tensor:
        """A, ``(B or 1, H or 1, rows, length)``."""
        return attention_weights(*self._learned(scores, length, like, layer), rows, length)

    def logits(
        self, scores: Tensor | None, rows: int, length: int, like: Tensor, layer: int = 0
    ) -> Tensor:
        """Z, ``(B or 1, H or 1, rows, length)``."""
        return attention_logits(*self._learned(scores, length, like, layer), rows, length)

    def _learned(
        self, scores: Tensor | None, length: int, like: Tensor, layer: int
    ) -> tuple[Tensor | None, Tensor, Tensor | None]:
        """A layer's tau, its distance bias, if need be of zeros, and the scores."""
        own = layer if self.config.per_layer else slice(None)
        tau = None
        if self.config.uses_scores:
            if scores is None:
                raise ValueError(f"{self.config.attention} attention needs scores")
            tau = self.tau[own]
        if self.config.uses_distance:
            return tau, self.distance_bias[own], scores
        return tau, like.new_zeros(1 if tau is None else len(tau), length), scores


def _row_blocks(before: int, length: int) -> Iterator[tuple[int, int]]:
    """Where blocks of the rows from ``before`` on begin and end: what lies in the future of a
    whole block is then never computed.
    """
    step = max(_LEAST_ROWS, -(-(length - before) // _BLOCKS))
    for start in range(before, length, step):
        yield start, min(start + step, length)


def _product_type(x: Tensor) -> torch.dtype:
    """The type in which matrices are multiplied, which autocast may have changed."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


class KVCache:
    """The values of each layer's tokens, and their keys if there are any, for ``batch`` texts of up
    to ``block_size`` tokens.

    The room is allocated once: appending a token copies that token alone. No gradient flows
    through it.
    """

    def __init__(
        self,
        config: ModelConfig,
        batch: int,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
    ) -> None:
        kinds = 2 if config.uses_query_key else 1
        width = config.n_embd // config.n_head
        shape = (batch, config.n_head, config.block_size, width)
        self._rooms = [
            [torch.empty(shape, device=device, dtype=dtype) for _ in range(kinds)]
            for _ in range(config.n_layer)
        ]
        self._places: Tensor | None = None
        several = batch >= 4 and not config.uses_query_key  # the product is as fast for fewer
        if several and torch.device(device).type == "cpu" and dtype == torch.float32:
            places = torch.arange(batch * config.n_head * config.block_size, dtype=torch.int32)
            self._places = places.view(-1, config.block_size)
            self._flat = self._starts = places[:0]
        self.length = 0
        """How many tokens there are. A model counts them when all of its layers have theirs."""

    def mix(self, layer: int, given: Given, values: Tensor, *keys_and_queries: Tensor) -> Tensor:
        """:func:`mix_values` over the tokens so far and n new ones, which are appended."""
        end = self.length + values.shape[2]
        rooms = self._rooms[layer]
        for room, part in zip(rooms, (values, *keys_and_queries[:1]), strict=True):
            room[:, :, self.length : end] = part.detach()
        if values.shape[2] == 1 and self._places is not None:
            return self._sum_rows(layer, given[0], self._places[:, :end])
        kept = [room[:, :, :end] for room in rooms]
        return mix_values(given, *kept, *keys_and_queries[1:])

    def _sum_rows(self, layer: int, weights: Tensor, places: Tensor) -> Tensor:
        """One token's weighted sum of rows, read in order: two to three times as fast as the
        product of matrices.
        """
        values = self._rooms[layer][0]
        batch, heads, _, width = values.shape
        if layer == 0:  # the other layers' values lie in the same places
            self._flat = places.flatten()
            self._starts = torch.arange(0, len(self._flat), places.shape[1], dtype=torch.int32)
        shares = weights.to(values.dtype).expand(batch, heads, -1, -1)
        mixed = F.embedding_bag(
            self._flat,
            values.view(-1, width),
            self._starts,
            per_sample_weights=shares.flatten(),
            mode="sum",
        )
        return mixed.view(batch, 1, heads, width)
