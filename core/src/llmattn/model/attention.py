"""Where a score becomes a weight: external scores, the causal weights that the model makes of
them, the values that these mix, and what decoding keeps of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from llmattn.errors import ConfigError
from llmattn.model.config import ModelConfig

__all__ = [
    "Given",
    "KVCache",
    "LLMAttention",
    "attention_logits",
    "attention_weights",
    "distance_logits",
    "imitating",
    "mix_channels",
    "mix_values",
    "row_blocks",
    "split_heads",
]

_BLOCKS = 4
_LEAST_ROWS = 64  # smaller products are slow

_PORTION = {"cpu": 1 << 20}
"""Scores and logits worked on at once, by kind of device: 4 MB of float32 on a CPU."""
_LARGE_PORTION = 1 << 26

Given = Sequence[Tensor]
"""What a layer mixes its values with: weights in blocks of rows, ``(B or 1, H or 1, rows,
columns)``, each with the columns up to its last row alone. With query-key attention the logits to
add to its own, ``(B or 1, H or 1, n, T)``, or nothing if these are causal alone.
"""


def attention_weights(tau: Tensor | None, by_distance: Tensor, scores: Tensor | None) -> Tensor:
    """``A[h, i, j] = softmax_j(Z[h, i, j])`` of :func:`attention_logits`, in the same shape: no
    weight is below 0, none lies in the future, and each row sums to 1.
    """
    return torch.softmax(attention_logits(tau, by_distance, scores), dim=-1)


def attention_logits(tau: Tensor | None, by_distance: Tensor, scores: Tensor | None) -> Tensor:
    """``Z[h, i, j] = sum_k tau[h, k] * S[k, i, j] + b[h, i - j]`` for j <= i, else -inf.

    ``tau``: ``(H, C)``, and ``scores``: ``(B, C, rows, length)``, or None both. ``by_distance``:
    of :func:`distance_logits`. Returns ``(B or 1, H, rows, length)``.
    """
    if tau is None or scores is None:
        return by_distance[None]
    return mix_channels(tau, scores).add_(by_distance)


def distance_logits(bias: Tensor, rows: int, length: int) -> Tensor:
    """``b[h, i - j]`` for j <= i, else -inf: the last ``rows`` of ``length`` rows,
    ``(..., H, rows, length)``. ``bias``: ``(..., H, length)`` or more.
    """
    band = F.pad(bias[..., :length].flip(-1), (0, rows - 1), value=float("-inf"))
    return band.unfold(-1, length, 1).flip(-2).contiguous()


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
        each = _as_numbers(scores, tau)
        mixed = torch.bmm((tau * _unit(scores)).expand(len(each), -1, -1), each)
    return mixed.view(*mixed.shape[:2], *scores.shape[2:])


def _as_numbers(scores: Tensor, like: Tensor) -> Tensor:
    """``(B, C, n, T)`` as ``(B, C, n * T)`` in the type of ``like``, in units of :func:`_unit`."""
    return scores.to(like.dtype).flatten(2)


def _unit(scores: Tensor) -> float:
    return 1 / 255 if scores.dtype == torch.uint8 else 1.0


class _LayerWeights(torch.autograd.Function):
    """:func:`attention_weights` of all layers from one reading of the scores.

    Autograd would go through memory once for each layer and operation, a float copy of the scores
    included. Here a few texts at a time do it all in the processor's cache; what is kept for the
    gradient are the weights.
    """

    @staticmethod
    def forward(
        ctx: Any, tau: Tensor, by_distance: Tensor, scores: Tensor, dtype: torch.dtype
    ) -> tuple[Tensor, ...]:
        """``tau``: ``(L, H, C)``; ``by_distance``: ``(L, H, rows, length)``. Returns for each layer
        ``(B, H, rows, length)`` in ``dtype``.
        """
        layers, heads, _ = tau.shape
        shape = len(scores), heads, *scores.shape[2:]
        weights = [by_distance.new_empty(shape, dtype=dtype) for _ in range(layers)]
        each_tau, each_bias = tau.flatten(0, 1), by_distance.flatten(0, 1)
        for texts in _portions(scores, layers * heads):
            found = attention_weights(each_tau, each_bias, scores[texts])
            for layer, own in zip(weights, torch.split(found, heads, dim=1), strict=True):
                layer[texts] = own
        ctx.save_for_backward(tau, scores, *weights)
        return tuple(weights)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        tau, scores, *weights = ctx.saved_tensors
        layers, heads, channels = tau.shape
        shape = layers, heads, *scores.shape[2:]
        tau_grad = tau.new_zeros(layers * heads, channels)
        bias_grad = tau.new_zeros(shape)
        with torch.autocast(tau.device.type, enabled=False):
            for texts in _portions(scores, layers * heads):
                logits = tau.new_empty(len(scores[texts]), *shape)
                for place, (kept, grad) in enumerate(zip(weights, grads, strict=True)):
                    logits[:, place] = torch._softmax_backward_data(
                        grad[texts].to(tau.dtype), kept[texts].to(tau.dtype), -1, tau.dtype
                    )
                if ctx.needs_input_grad[0]:
                    each = _as_numbers(scores[texts], tau).transpose(1, 2)
                    tau_grad += torch.bmm(logits.flatten(3).flatten(1, 2), each).sum(0)
                if ctx.needs_input_grad[1]:
                    bias_grad += logits.sum(0) if len(logits) > 1 else logits[0]
        return tau_grad.view_as(tau) * _unit(scores), bias_grad, None, None


def _portions(scores: Tensor, heads: int) -> Iterator[slice]:
    """Texts whose scores and logits go into the cache together, one at least."""
    numbers = (scores.shape[1] + heads) * scores.shape[2:].numel()
    step = max(1, _PORTION.get(scores.device.type, _LARGE_PORTION) // numbers)
    for start in range(0, len(scores), step):
        yield slice(start, start + step)


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
    ``like`` gives type and device. They are about the last ``rows`` of ``length`` tokens. Another
    shape raises ConfigError.
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
        self, scores: Tensor | None, rows: int, length: int, like: Tensor
    ) -> Iterator[Given]:
        """What :func:`mix_values` takes, of one layer after the other."""
        config = self.config
        self._check(scores, rows, length)
        if config.uses_query_key:
            more = config.uses_scores or config.uses_distance or 1 < rows < length
            given: Given = []
            for layer in range(config.n_layer):
                if more and (layer == 0 or config.per_layer):
                    given = [self.logits(scores, rows, length, like, layer)]
                yield given
            return
        before = length - rows
        blocks = [
            self._block(
                None if scores is None else scores[:, :, start - before : end - before, :end],
                end - start,
                end,
                like,
            )
            for start, end in row_blocks(before, length)
        ]
        own = list(zip(*blocks, strict=True))
        yield from own if config.per_layer else own * config.n_layer

    def _block(
        self, scores: Tensor | None, rows: int, length: int, like: Tensor
    ) -> Sequence[Tensor]:
        """The weights of rows, of each layer that has its own."""
        dtype = _product_type(like)
        own = self.config.per_layer
        if scores is None or not self.config.uses_scores or torch.compiler.is_compiling():
            layers = range(self.config.n_layer if own else 1)
            return [self.weights(scores, rows, length, like, layer).to(dtype) for layer in layers]
        tau: Tensor = self.tau
        by_distance = distance_logits(self._bias(like, length), rows, length)
        if not own:
            tau, by_distance = tau[None], by_distance[None]
        found: tuple[Tensor, ...] = _LayerWeights.apply(tau, by_distance, scores, dtype)  # type: ignore[no-untyped-call]
        return found

    def weights(
        self, scores: Tensor | None, rows: int, length: int, like: Tensor, layer: int = 0
    ) -> Tensor:
        """A of a layer, ``(B or 1, H or 1, rows, length)``."""
        self._check(scores, rows, length)
        return attention_weights(*self._learned(rows, length, like, layer), scores)

    def logits(
        self, scores: Tensor | None, rows: int, length: int, like: Tensor, layer: int = 0
    ) -> Tensor:
        """Z of a layer, ``(B or 1, H or 1, rows, length)``."""
        self._check(scores, rows, length)
        return attention_logits(*self._learned(rows, length, like, layer), scores)

    def _check(self, scores: Tensor | None, rows: int, length: int) -> None:
        """Raise ConfigError for scores of another shape than the model and its tokens have."""
        config = self.config
        if torch.compiler.is_compiling():
            return
        if not 1 <= rows <= length <= config.block_size:
            raise ConfigError(
                f"Attention of {rows} rows over {length} tokens does not fit: there are as many "
                f"rows as tokens or fewer, and a block size of {config.block_size}."
            )
        if not config.uses_scores:
            return
        channels = len(config.channels)
        wanted = f"(batch, channels, rows, tokens), here (B, {channels}, {rows}, {length})"
        if scores is None:
            raise ConfigError(f"{config.attention} attention needs scores of the shape {wanted}.")
        if scores.shape[1:] != (channels, rows, length):
            raise ConfigError(f"Scores must have the shape {wanted}, not {tuple(scores.shape)}.")
        if not (scores.is_floating_point() or scores.dtype == torch.uint8):
            raise ConfigError(f"Scores must be floats in [0, 1], or uint8, not {scores.dtype}.")

    def _learned(
        self, rows: int, length: int, like: Tensor, layer: int
    ) -> tuple[Tensor | None, Tensor]:
        """A layer's tau, if it has one, and its logits by distance."""
        own = layer if self.config.per_layer else slice(None)
        tau = self.tau[own] if self.config.uses_scores else None
        return tau, distance_logits(self._bias(like, length)[own], rows, length)

    def _bias(self, like: Tensor, length: int) -> Tensor:
        """The distance bias, with ``per_layer`` of all layers; zeros if it has none."""
        if self.config.uses_distance:
            return self.distance_bias
        shape = self.tau.shape[:-1] if self.config.uses_scores else (1,)
        return like.new_zeros(*shape, length)


def row_blocks(before: int, length: int) -> Iterator[tuple[int, int]]:
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
