"""LLM-Computing's function: the attention matrix of a text, from a provider's scores."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from llmattn.data.tokenizer import text_pieces, text_words
from llmattn.errors import ConfigError
from llmattn.library.frames import frame, heat_table
from llmattn.library.stated import Stated
from llmattn.model.attention import attention_weights, distance_logits
from llmattn.providers.protocol import MapProvider
from llmattn.rows import Scope
from llmattn.scoring.opening import Text, open_source
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.text_matrix import text_matrix

if TYPE_CHECKING:
    from pandas import DataFrame

__all__ = ["AttentionMatrix", "checked_tokens", "get_attention_matrix", "without_unknown"]


class AttentionMatrix(Tensor):
    """A float32 tensor ``(T, T)`` that knows the ``tokens`` of its rows and columns.

    It is a tensor in every operation, and what comes of one is a plain tensor.
    """

    tokens: tuple[str, ...]
    # What is computed with it has other rows and columns.
    __torch_function__ = torch._C._disabled_torch_function_impl  # type: ignore[assignment]

    @classmethod
    def of(cls, weights: Tensor, tokens: Sequence[str]) -> AttentionMatrix:
        """``weights`` ``(T, T)`` of T tokens."""
        made: AttentionMatrix = weights.as_subclass(cls)
        made.tokens = tuple(tokens)
        return made

    def __deepcopy__(self, memo: dict[int, Any]) -> AttentionMatrix:
        return AttentionMatrix.of(self.detach().clone(), self.tokens)

    def to_pandas(self) -> DataFrame:
        """A row for each query, a column for each key. Raises ConfigError without pandas."""
        names = list(self.tokens)
        return frame(self.numpy(), index=names, columns=names)

    def _repr_html_(self) -> str:
        return heat_table(self.numpy(), self.tokens, "attention weights")


def get_attention_matrix(
    tokens: Sequence[str] | str,
    *,
    provider: str | None = None,
    model: str | None = None,
    temperature: float = 1.0,
    options: Mapping[str, str] | None = None,
    cache: str = "lmdb",
    cache_dir: str | os.PathLike[str] | None = None,
    text: Text | None = None,
) -> AttentionMatrix:
    """Causal attention weights ``(T, T)``: row i is a softmax over the scores of tokens 0 to i.

    ``tokens``: words, or for a provider of PREFIX scope pieces of the text as written, the
    spaces before them included; a string is taken apart (``text_pieces`` of
    ``llmattn.data.tokenizer`` shows how).
    Scores that the cache lacks are asked of ``provider`` (None: LLM_PROVIDER, else the first
    one that is set up). Several channels are averaged; a score that remains unknown counts as
    the mean of its row. Scores lie in [0, 1], so at ``temperature`` 1 the largest weight of a
    row is at most e times the smallest: choose a lower one, such as 0.1, for a sharper matrix.
    Scores that are attention weights already (``MapProvider.normalised``, of all channels) are
    taken as such.
    ``text``: what providers such as ``cooccurrence`` count in, a string, or its lines as strings or
    lists of words. ``options``: settings of the provider or the cache.

    Returns float32; rows sum to 1, entries right of the diagonal are 0. Raises ConfigError,
    PluginError, ProviderError or CacheError.
    """
    if temperature <= 0:
        raise ConfigError(f"The temperature must be above 0, not {temperature}.")
    if not isinstance(tokens, str):
        tokens = checked_tokens(tokens)
    if not tokens:
        return AttentionMatrix.of(torch.zeros(0, 0), ())
    settings = {"options": options, "model": model, "cache": cache, "cache_dir": cache_dir}
    choice = Stated("get_attention_matrix", settings, (ScoreChoice,)).build(ScoreChoice)
    with open_source(provider, choice, text=text) as source:
        pairs = source.identity.scope is Scope.PAIR
        if isinstance(tokens, str):
            tokens = text_words(tokens) if pairs else text_pieces(tokens)
            if not tokens:
                return AttentionMatrix.of(torch.zeros(0, 0), ())
        scores = text_matrix(source, tokens)
        maps = isinstance(source.provider, MapProvider) and np.all(source.provider.normalised)
    mixed = without_unknown(scores).mean(axis=0)
    if maps:
        mixed = np.log(np.maximum(mixed, np.finfo(np.float32).tiny))
    tau = torch.tensor([[1 / temperature]], dtype=torch.float64)
    bias = tau.new_zeros(1, len(tokens))
    given = torch.from_numpy(mixed)[None, None]
    by_distance = distance_logits(bias, len(tokens), len(tokens))
    weights = attention_weights(tau, by_distance, given)[0, 0].float()
    return AttentionMatrix.of(weights, tokens)


def checked_tokens(tokens: Sequence[str]) -> list[str]:
    """Tokens that are a list of strings. Raises ConfigError for anything else."""
    found: list[Any] = [*tokens] if isinstance(tokens, Sequence) else []
    if isinstance(tokens, str | bytes) or not isinstance(tokens, Sequence):
        raise ConfigError(f"Tokens are a list of strings, not a {type(tokens).__name__}.")
    for token in found:
        if not isinstance(token, str):
            raise ConfigError(f"A token is a string, not a {type(token).__name__}: {token!r:.40}")
    return found


def without_unknown(scores: NDArray[Any]) -> NDArray[Any]:
    """Scores ``(..., T)`` whose NaN are the mean of what is known of their row, or 0."""
    known = ~np.isnan(scores)
    total = np.where(known, scores, 0).sum(axis=-1, keepdims=True)
    mean = total / np.maximum(known.sum(axis=-1, keepdims=True), 1)
    filled: NDArray[Any] = np.where(known, scores, mean)
    return filled
