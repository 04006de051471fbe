"""Which channels of scores a trained model needs: what it loses on a text without them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from attrs import frozen
from numpy.typing import NDArray
from torch import Tensor

from llmattn.data.batches import IGNORED, collate, sorted_batches
from llmattn.data.corpus import Split
from llmattn.errors import ConfigError
from llmattn.feeds.feed import ScoreFeed
from llmattn.model.attn_gpt import AttnGPT, check_finite

__all__ = ["Ranking", "rank_channels"]

_TOKENS_A_BATCH = 2048
_MOST_TOKENS = 8192
"""Of a text: more would not change the order of channels that differ by more than luck."""
_MOST_BYTES = 1 << 28
"""Of scores that are held at once."""
_SLOW = 8
"""With more than so many channels left an eighth of them is dropped at once."""
_WORTH = 0.9
"""The share of what all channels are worth that a few must keep."""


@frozen
class Ranking:
    """Losses are nats a token of validation text, of one model with channels left out.

    ``channels``: names, the one that is needed most first: in the reverse of the order in which
    they were dropped, each time what was missed least. ``kept``: the loss with the first k of
    them, k = 0 to C. ``without``: the loss without one of them, in their order. ``tokens``: of the
    text.
    """

    channels: tuple[str, ...]
    kept: tuple[float, ...]
    without: tuple[float, ...]
    tokens: int

    @property
    def loss(self) -> float:
        """With all channels."""
        return self.kept[-1]

    @property
    def worth(self) -> float:
        """What all channels together lower the loss by."""
        return self.kept[0] - self.loss

    @property
    def few(self) -> int:
        """How many of the first channels keep nine tenths of what all are worth; 0 if none is
        worth anything.
        """
        if self.worth <= 0:
            return 0
        enough = self.kept[0] - _WORTH * self.worth
        return next(k for k, loss in enumerate(self.kept) if loss <= enough)


@torch.no_grad()
def rank_channels(
    model: AttnGPT, feed: ScoreFeed, split: Split, *, among: Sequence[str] | None = None
) -> Ranking:
    """Rank the channels of ``model`` by what it loses on ``split``, of which ``feed`` gives the
    scores, when they are left out: their tau is set to 0, all else stays as it was trained.

    ``among``: the channels that may be left out; None: all. Of a long text some windows are read.
    Raises ConfigError for a model without channels or a text without a token.
    """
    names = model.config.channels
    if not model.config.uses_scores:
        raise ConfigError(f"{model.config.attention} attention reads no channels.")
    trial = _Trial(model, feed, split)
    free = [place for place, name in enumerate(names) if among is None or name in among]
    keep = np.ones(len(names), np.bool_)
    whole = trial.loss(keep)
    alone = {place: trial.loss(_but(keep, place)) for place in free}
    left, losses, dropped = list(free), [whole], []
    missed = alone
    while left:
        order = sorted(left, key=lambda place: missed[place])
        for place in order[: max(1, len(left) // _SLOW)]:
            keep[place] = False
            left.remove(place)
            dropped.append(place)
            losses.append(trial.loss(keep))
        missed = {place: trial.loss(_but(keep, place)) for place in left}
    first = dropped[::-1]
    return Ranking(
        channels=tuple(names[place] for place in first),
        kept=tuple(losses[::-1]),
        without=tuple(alone[place] for place in first),
        tokens=trial.tokens,
    )


def _but(keep: NDArray[np.bool_], place: int) -> NDArray[np.bool_]:
    less: NDArray[np.bool_] = keep.copy()
    less[place] = False
    return less


class _Trial:
    """A text with its scores, read again and again with some channels left out."""

    def __init__(self, model: AttnGPT, feed: ScoreFeed, split: Split) -> None:
        self._model = model
        pieces = split.pieces(model.config.block_size)
        device = model.token_embedding.weight.device
        self._parts: list[tuple[Tensor, Tensor | None, Tensor, int]] = []
        self.tokens = size = 0
        batches = sorted_batches(pieces, _TOKENS_A_BATCH)
        for chosen in batches[:: max(1, len(batches) * _TOKENS_A_BATCH // _MOST_TOKENS)]:
            batch = collate(split, pieces, chosen, pad_id=split.tokenizer.eol_id, device=device)
            scores = feed.scores(batch)
            count = int((batch.targets != IGNORED).sum())
            self._parts.append((batch.ids, scores, batch.targets, count))
            self.tokens += count
            size += 0 if scores is None else scores.nbytes
            if size > _MOST_BYTES:
                break
        if not self.tokens:
            raise ConfigError("The text to measure on holds no token.")

    def loss(self, keep: NDArray[np.bool_]) -> float:
        """Nats a token with the channels ``keep``, (C,)."""
        model, total = self._model, 0.0
        with _left_out(model, keep):
            for ids, scores, targets, count in self._parts:
                _, loss = model(ids, scores, targets)
                check_finite(loss)
                total += loss.item() * count
        return total / self.tokens


@contextmanager
def _left_out(model: AttnGPT, keep: NDArray[np.bool_]) -> Iterator[None]:
    tau, was_training = model.attention.tau, model.training
    before = tau.detach().clone()
    model.eval()
    try:
        tau.mul_(torch.as_tensor(keep, dtype=tau.dtype, device=tau.device))
        yield
    finally:
        tau.copy_(before)
        model.train(was_training)
