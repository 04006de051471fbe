"""What each head of a checkpoint listens to: its parameters, and measures over a text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from attrs import evolve, frozen
from numpy.typing import NDArray
from torch import Tensor

from llmattn.data.batches import IGNORED, collate, sorted_batches
from llmattn.data.corpus import Corpus, encode_lines
from llmattn.data.text_tokenizer import TextTokenizer
from llmattn.errors import ConfigError
from llmattn.feeds.feed import window_words
from llmattn.feeds.trained import reopen_feeds
from llmattn.model.attn_gpt import AttnGPT, check_finite
from llmattn.reading.plain import plain_line
from llmattn.scoring.options import ScoreChoice
from llmattn.training.checkpoint import Checkpoint
from llmattn.training.ranking import Ranking, rank_channels
from llmattn.view.weights import layer_weights, shown_layers

__all__ = ["Heads", "Measured", "TextWeights", "heads_of", "measure", "text_weights"]

_TOKENS_A_BATCH = 1024
_MOST_TOKENS = 30_000
"""Tokens of a text after which its measures have settled."""

Floats = NDArray[np.float32]


@frozen(eq=False)
class Measured:
    """Means over the rows of a text that have at least two keys.

    ``entropy`` and ``distance``: ``(L, H)``, in nats and in tokens looked back.
    ``uniform_entropy``: of a head that looks everywhere alike. ``spread``: ``(C,)``, standard
    deviation of a channel's scores within a row: what ``tau`` has to multiply.
    """

    tokens: int
    entropy: Floats
    distance: Floats
    uniform_entropy: float
    spread: Floats
    ranking: Ranking | None = None
    """Which channels the model needs; None for one that reads none."""


@frozen(eq=False)
class Heads:
    """A model's heads. L is the number of layers with weights of their own, 1 if all share them.

    ``tau``: ``(L, H, C)`` or None. ``distance_bias``: ``(L, H, block_size)`` or None.
    """

    attention: str
    channels: tuple[str, ...]
    n_layer: int
    tau: Floats | None
    distance_bias: Floats | None
    layers: int
    n_head: int
    measured: Measured | None = None

    @property
    def influence(self) -> Floats | None:
        """``(L, H, C)``: by how much a channel moves a head's logits within a row, in nats.

        ``|tau|`` times the channel's spread; None if that was not measured.
        """
        if self.tau is None or self.measured is None:
            return None
        return np.abs(self.tau) * self.measured.spread


@frozen(eq=False)
class TextWeights:
    """The weights ``(L, H, T, T)`` of a text's tokens; of L see :class:`Heads`.

    ``tokens``: pieces of the text as written. ``unknown``: those that the model does not know.
    """

    tokens: list[str]
    unknown: list[str]
    weights: Floats
    unscored: float
    """Share of the pairs of words that no provider has scored; each counts as its row's mean."""
    left_out: int
    """Tokens at the end that did not fit the model's window."""
    queries: list[str | None]
    """The word that each token is as a query, for scores of pairs; None: none."""
    keys: list[str | None]
    """The same as a key."""


def heads_of(checkpoint: Checkpoint) -> Heads:
    """The heads of the checkpoint's best model, not measured."""
    config = checkpoint.model_config
    layers = shown_layers(config)
    weights = checkpoint.weights

    def learned(name: str) -> Floats | None:
        if name not in weights:
            return None
        found = weights[name].float().cpu().numpy()
        found = found if found.ndim == 3 else found[None]
        return np.broadcast_to(found, (layers, config.n_head, found.shape[-1]))

    return Heads(
        attention=config.attention,
        channels=config.channels if config.uses_scores else (),
        n_layer=config.n_layer,
        tau=learned("attention.tau"),
        distance_bias=learned("attention.distance_bias"),
        layers=layers,
        n_head=config.n_head,
    )


def measure(
    checkpoint: Checkpoint, corpus: Corpus, choice: ScoreChoice, *, ask: bool = False
) -> Measured:
    """Measures over the validation lines of ``corpus``, or over a part of them if there are many.

    ``ask`` as in ``reopen_feeds``, whose errors it raises.
    """
    model = checkpoint.model()
    split = corpus.val
    feed = reopen_feeds(checkpoint, evolve(corpus, train=split, test=None), choice, ask=ask).val
    pieces = split.pieces(model.config.block_size)
    batches = sorted_batches(pieces, _TOKENS_A_BATCH)
    step = -(-len(batches) * _TOKENS_A_BATCH // _MOST_TOKENS)
    sums = _Sums(model)
    for chosen in batches[::step]:
        batch = collate(split, pieces, chosen, pad_id=corpus.tokenizer.eol_id)
        keep = batch.targets != IGNORED
        keep[:, 0] = False
        if keep.any():
            sums.add(batch.ids, feed.scores(batch), keep)
    means = sums.means()
    if model.config.uses_scores:
        means = evolve(means, ranking=rank_channels(model, feed, split))
    return means


class _Sums:
    """Adds up what is measured, row by row of attention."""

    def __init__(self, model: AttnGPT) -> None:
        config = model.config
        self._model = model
        self._rows = 0
        self._entropy = torch.zeros(shown_layers(config), config.n_head, dtype=torch.float64)
        self._distance = self._entropy.clone()
        self._uniform = 0.0
        self._spread = torch.zeros(len(config.channels), dtype=torch.float64)

    def add(self, ids: Tensor, scores: Tensor | None, keep: Tensor) -> None:
        """``keep``: which rows count, ``(B, T)``."""
        length = ids.shape[1]
        place = torch.arange(length)
        counts = place + 1.0
        self._rows += int(keep.sum())
        self._uniform += float((counts.log() * keep).sum())
        back = (place[:, None] - place).clamp(min=0).float()
        for layer, weights in enumerate(layer_weights(self._model, ids, scores)):
            kept = weights.transpose(1, 2)[keep]
            self._entropy[layer] += torch.special.entr(kept).sum((0, 2))
            distances = (weights * back).sum(-1).transpose(1, 2)[keep]
            self._distance[layer] += distances.sum(0)
        for channel in range(len(self._spread) if scores is not None else 0):
            assert scores is not None
            values = scores[:, channel].float()
            values = values / 255 if scores.dtype == torch.uint8 else values
            mean = values.tril().sum(-1) / counts
            squares = (values - mean[..., None]).square().tril().sum(-1) / counts
            self._spread[channel] += squares.sqrt()[keep].sum()

    def means(self) -> Measured:
        if not self._rows:
            raise ConfigError("No validation line has two tokens, so there is nothing to measure.")
        check_finite(torch.cat([self._entropy.flatten(), self._distance.flatten()]))
        return Measured(
            tokens=self._rows,
            entropy=(self._entropy / self._rows).float().numpy(),
            distance=(self._distance / self._rows).float().numpy(),
            uniform_entropy=self._uniform / self._rows,
            spread=(self._spread / self._rows).float().numpy(),
        )


def text_weights(
    checkpoint: Checkpoint, text: str, choice: ScoreChoice, *, ask: bool = False
) -> TextWeights:
    """The weights with which the checkpoint's best model reads ``text``, as if it were a line.

    ``ask`` as in ``reopen_feeds``.
    Raises ConfigError for a text without a token, CorpusError for one with too long a word, and
    what ``reopen_feeds`` raises.
    """
    tokenizer = checkpoint.tokenizer
    split = encode_lines([plain_line(text, "The text")], tokenizer)
    if not len(split):
        raise ConfigError(f"The text {text!r} holds no token to look at.")
    model = checkpoint.model()
    corpus = Corpus(tokenizer, split, split, None, digest="")
    feed = reopen_feeds(checkpoint, corpus, choice, ask=ask).val
    pieces = split.pieces(model.config.block_size)
    batch = collate(split, pieces, np.zeros(1, np.int64), pad_id=tokenizer.eol_id)
    found = [each[0] for each in layer_weights(model, batch.ids, feed.scores(batch))]
    for weights in found:
        check_finite(weights)
    ids = batch.ids[0].numpy()
    return TextWeights(
        tokens=split.written[: len(ids)],
        unknown=[
            piece.strip()
            for piece, index in zip(split.written, ids.tolist(), strict=False)
            if index == tokenizer.unk_id
        ],
        weights=torch.stack(found).numpy(),
        unscored=_unscored(checkpoint, batch.ids),
        left_out=split.targets - len(ids),
        **_words(tokenizer, batch.ids, split.written),
    )


def _words(
    tokenizer: TextTokenizer, ids: Tensor, written: Sequence[str]
) -> dict[str, list[str | None]]:
    """The fields ``queries`` and ``keys``; unknown words as they are written."""
    special, words = set(tokenizer.special_ids), tokenizer.scored_words
    found: dict[str, list[str | None]] = {}
    for name, each in zip(("queries", "keys"), window_words(tokenizer, ids), strict=True):
        found[name] = [None if n in special else words[n] for n in each[0].tolist()]
    if tokenizer.tokens_are_words:
        for place, index in enumerate(ids[0].tolist()):
            if index == tokenizer.unk_id:
                word = written[place].strip() or None
                found["queries"][place] = found["keys"][place] = word
    return found


def _unscored(checkpoint: Checkpoint, ids: Tensor) -> float:
    """The share of the pairs of words that the checkpoint's table lacks."""
    table = checkpoint.table
    if table is None or None not in table.absent:
        return 0.0
    queries, keys = (found[0].numpy() for found in window_words(checkpoint.tokenizer, ids))
    i, j = np.tril_indices(len(keys))
    query, key = queries[i], keys[j]
    special = np.array(checkpoint.tokenizer.special_ids)
    words = ~(np.isin(query, special) | np.isin(key, special))
    if not words.any():
        return 0.0
    return float((~table.is_known(query[words], key[words])).mean())
