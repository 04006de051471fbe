"""Word vectors of a provider as the start of a model's token embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray

from llmattn.data.corpus import Corpus
from llmattn.data.text_tokenizer import TextTokenizer
from llmattn.errors import ConfigError
from llmattn.identity import Identity
from llmattn.model.attn_gpt import AttnGPT
from llmattn.scoring.vectors import VectorSource

__all__ = [
    "CONTROLS",
    "TokenVectors",
    "WordStart",
    "read_token_vectors",
    "read_word_vectors",
    "start_words",
    "vector_words",
]

CONTROLS = ("permuted", "random")
"""Vectors of other words, as frequent as they are; random ones of the same covariance."""
_ALIKE = 100
"""So many words, next to each other by frequency, are given each other's vectors."""
_SEED = 1
"""Of the controls."""

Vectors = NDArray[np.float32]


@frozen(eq=False)
class WordStart:
    """What tokens start as. ``ids``: ``(n,)``, tokens with a vector; the others start as those of
    any model. ``vectors``: ``(n, k)``, their first k numbers, k at most the width of the model.
    """

    identity: Identity
    ids: NDArray[np.int64]
    vectors: Vectors
    control: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Where it is from, as plain values."""
        return {"identity": _named(self.identity), "control": self.control, "words": len(self.ids)}


@frozen(eq=False)
class TokenVectors:
    """The vectors of a text's tokens as a provider gives them: ``ids`` ``(n,)``, of tokens that
    have one, and ``vectors`` ``(n, d)``.
    """

    identity: Identity
    ids: NDArray[np.int64]
    vectors: Vectors

    def start(self, corpus: Corpus, width: int, control: str = "") -> WordStart:
        """What tokens start as in a model of this ``width``: the vectors centred, and reduced to so
        many numbers by their principal components, to which a token adds its vector times the root
        of its number in the training text. These numbers have the standard deviation that those of
        an untrained model have, ``width ** -0.5``. ``control``: of ``CONTROLS``, or empty.
        """
        counts = np.bincount(corpus.train.ids, minlength=len(corpus.tokenizer))[self.ids]
        vectors = _reduced(self.vectors, counts, width)
        return WordStart(self.identity, self.ids, _controlled(vectors, counts, control), control)


def read_token_vectors(source: VectorSource, tokenizer: TextTokenizer) -> TokenVectors:
    """From the cache, or by asking. Raises what asking raises."""
    own, words = vector_words(tokenizer)
    found = source.vectors(words)
    known = ~np.isnan(found).any(axis=1)
    return TokenVectors(source.identity, np.array(own, np.int64)[known], found[known])


def read_word_vectors(source: VectorSource, corpus: Corpus, width: int) -> WordStart:
    """What the tokens of ``corpus`` start as. Raises what asking raises."""
    return read_token_vectors(source, corpus.tokenizer).start(corpus, width)


def vector_words(tokenizer: TextTokenizer) -> tuple[list[int], list[str]]:
    """The tokens that are asked for, by their ids, and as they stand in a text."""
    spelled = tokenizer.spelled
    own = [index for index, text in enumerate(spelled) if text.strip()]
    return own, [spelled[index] for index in own]


def start_words(model: AttnGPT, start: WordStart | None) -> None:
    """Let the tokens of a new model start so."""
    if start is None:
        return
    table = model.token_embedding.weight
    ids, columns = torch.from_numpy(start.ids), start.vectors.shape[1]
    with torch.no_grad():
        table[ids, :columns] = torch.from_numpy(start.vectors).to(table)


def _reduced(vectors: Vectors, weights: NDArray[Any], width: int) -> Vectors:
    """``(n, D)`` -> ``(n, min(D, width))``."""
    weights = weights / max(weights.sum(), 1e-9)
    centred = vectors.astype(np.float64) - weights @ vectors
    _, axes = np.linalg.eigh((centred * weights[:, None]).T @ centred)
    axes = axes[:, ::-1][:, :width]
    # An axis has no direction of its own; one is chosen, lest it depend on the machine.
    axes *= np.sign(axes[np.abs(axes).argmax(0), np.arange(axes.shape[1])])
    reduced = centred @ axes
    spread = float(reduced.std())
    if not spread > 0:
        raise ConfigError(
            "All words have the same vector, so nothing can be learned from them: name another "
            "provider with --word-vectors, or another model of it (-o NAME.embedding_model=...)."
        )
    return np.asarray(reduced * (width**-0.5 / spread), np.float32)


def _controlled(vectors: Vectors, counts: NDArray[Any], control: str) -> Vectors:
    random = np.random.default_rng(_SEED)
    if control == "permuted":
        order = np.argsort(-counts, kind="stable")
        mixed: Vectors = vectors.copy()
        for start in range(0, len(order), _ALIKE):
            alike = order[start : start + _ALIKE]
            mixed[alike] = vectors[random.permutation(alike)]
        return mixed
    if control == "random":
        drawn = random.standard_normal(vectors.shape)
        values, axes = np.linalg.eigh(np.cov(vectors.T).reshape(vectors.shape[1], -1))
        root = axes * np.sqrt(values.clip(0)) @ axes.T
        return np.asarray(drawn @ root, np.float32)
    return vectors


def _named(identity: Identity) -> dict[str, Any]:
    """An identity without the names of its thousand channels."""
    return {**identity.to_dict(), "channels": [f"{len(identity.channels) - 1} numbers"]}
