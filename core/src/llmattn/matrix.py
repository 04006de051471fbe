"""LLM-Computing's function: the attention matrix of a text, from a provider's scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from llmattn.data.tokenizer import text_pieces, text_words
from llmattn.errors import ConfigError
from llmattn.model.attention import attention_weights, distance_logits
from llmattn.providers.protocol import MapProvider
from llmattn.rows import Scope
from llmattn.scoring.opening import open_source
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.text_matrix import text_matrix

__all__ = ["get_attention_matrix"]


def get_attention_matrix(
    tokens: Sequence[str] | str,
    *,
    provider: str | None = None,
    model: str | None = None,
    temperature: float = 1.0,
    options: Mapping[str, str] | None = None,
    cache: str = "lmdb",
    cache_dir: Path | None = None,
    text: Sequence[Sequence[str]] | None = None,
) -> Tensor:
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
    ``text``: lines of tokens for providers that count in a text, such as ``cooccurrence``.

    Returns float32; rows sum to 1, entries right of the diagonal are 0. Raises ConfigError,
    PluginError, ProviderError or CacheError.
    """
    if temperature <= 0:
        raise ConfigError(f"The temperature must be above 0, not {temperature}.")
    if not tokens:
        return torch.zeros(0, 0)
    choice = ScoreChoice(options=options or {}, model=model, cache=cache, cache_dir=cache_dir)
    with open_source(provider, choice, text=text) as source:
        pairs = source.identity.scope is Scope.PAIR
        if isinstance(tokens, str):
            tokens = text_words(tokens) if pairs else text_pieces(tokens)
            if not tokens:
                return torch.zeros(0, 0)
        scores = text_matrix(source, tokens)
        maps = isinstance(source.provider, MapProvider) and np.all(source.provider.normalised)
    known = ~np.isnan(scores)
    total = np.where(known, scores, 0).sum(axis=-1, keepdims=True)
    mean = total / np.maximum(known.sum(axis=-1, keepdims=True), 1)
    mixed = np.where(known, scores, mean).mean(axis=0)
    if maps:
        mixed = np.log(np.maximum(mixed, np.finfo(np.float32).tiny))
    tau = torch.tensor([[1 / temperature]], dtype=torch.float64)
    bias = tau.new_zeros(1, len(tokens))
    given = torch.from_numpy(mixed)[None, None]
    by_distance = distance_logits(bias, len(tokens), len(tokens))
    return attention_weights(tau, by_distance, given)[0, 0].float()
