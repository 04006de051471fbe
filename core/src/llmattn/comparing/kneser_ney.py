"""An interpolated Kneser-Ney model of n-grams: what fits a small text in seconds, without weights.

Kneser and Ney 1995, in the interpolated form of Chen and Goodman 1999 with one discount an order;
orders and discounts are chosen by validation. (nltk.lm has one too, word by word in Python.)
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from attrs import evolve, field, frozen
from numpy.typing import NDArray

from llmattn.data.corpus import Split

__all__ = ["KneserNey", "fit"]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MOST = 5
"""The highest order that is tried."""
_DISCOUNTS = np.arange(0.05, 1.0, 0.05)
_VALIDATED = 50_000
"""Tokens of validation text by which order and discounts are chosen, at most."""
_ROUNDS = 2
"""How often each order's discount is chosen anew, the others being as they are."""


@frozen(eq=False)
class _Level:
    """The n-grams of one order n, by number.

    ``keys``: sorted, ``history * V + token``, a history being the number of an (n-1)-gram.
    ``seen``: how often each was predicted; ``new``: after how many different tokens it stood, or
    at how many beginnings of a stretch. ``histories``: the number of each one's history.
    """

    keys: Ints
    seen: Ints
    new: Ints
    histories: Ints

    def counts(self, *, highest: bool) -> Ints:
        return self.seen if highest else self.new

    def totals(self, size: int, *, highest: bool) -> tuple[Floats, Floats]:
        """Of each history: the sum of its counts, and how many of them are not 0."""
        counts = self.counts(highest=highest)
        total = np.bincount(self.histories, counts, minlength=size)
        kinds = np.bincount(self.histories, counts > 0, minlength=size)
        return total.astype(np.float64), kinds.astype(np.float64)


@frozen(eq=False)
class KneserNey:
    """P(w | h) = max(c(h w) - D, 0) / c(h) + D N(h) / c(h) P(w | h without its first token).

    c counts occurrences in the highest order, and different tokens before an n-gram in the others;
    N(h) is the number of different tokens after h. Below the first order all V tokens are alike.
    ``discounts``: D of each order, from the first on; as many as the model's order.
    """

    vocab_size: int
    levels: tuple[_Level, ...] = field(repr=False)
    discounts: tuple[float, ...]

    @property
    def order(self) -> int:
        """The length of its longest n-grams."""
        return len(self.discounts)

    @property
    def size(self) -> int:
        """How many counts it keeps."""
        return sum(len(level.keys) for level in self.levels[: self.order])

    def probabilities(self, ids: NDArray[np.int32], offsets: Ints) -> Floats:
        """Of each token of a :class:`Split` that is predicted, in its order, ``(targets,)``."""
        return _mixed(self._parts(ids, offsets), self.discounts, self.vocab_size)

    def loss(self, split: Split) -> float:
        """Nats a token."""
        return float(-np.log(self.probabilities(split.ids, split.offsets)).mean())

    def _parts(self, ids: NDArray[np.int32], offsets: Ints) -> Floats:
        """Of each order and token: the count of its n-gram, the total and the kinds of its history,
        ``(order, 3, targets)``.
        """
        depth = _depth(len(ids), offsets)
        tokens = ids.astype(np.int64)
        numbers = np.where(depth >= 0, 0, -1)  # the empty history
        parts = []
        for n, level in enumerate(self.levels[: self.order], 1):
            highest = n == self.order
            size = len(self.levels[n - 2].keys) if n > 1 else 1
            totals, kinds = level.totals(size, highest=highest)
            histories = numbers if n == 1 else np.concatenate([[-1], numbers[:-1]])
            histories = np.where(depth >= n - 1, histories, -1)
            known = histories >= 0
            numbers = np.where(known, _find(level.keys, histories * self.vocab_size + tokens), -1)
            found = np.where(numbers >= 0, level.counts(highest=highest)[numbers], 0)
            total = np.where(known, totals[histories], 0)
            parts.append(np.stack([found, total, kinds[histories]])[:, depth >= 1])
        return np.stack(parts)


def fit(train: Split, val: Split) -> KneserNey:
    """The model of ``train`` whose order, up to 5, and discounts suit ``val`` best."""
    size = len(train.tokenizer)
    levels = _levels(train.ids, train.offsets, size)
    best, lowest = KneserNey(size, levels, (0.5,)), np.inf
    for order in range(1, len(levels) + 1):
        model = KneserNey(size, levels, (0.75,) * order)
        parts = model._parts(val.ids, val.offsets)[..., :_VALIDATED]
        discounts, loss = list(model.discounts), np.inf
        for _ in range(_ROUNDS):
            for place in range(order):
                tried = [
                    [*discounts[:place], float(d), *discounts[place + 1 :]] for d in _DISCOUNTS
                ]
                losses = [-np.log(_mixed(parts, each, size)).mean() for each in tried]
                discounts, loss = tried[int(np.argmin(losses))], min(losses)
        if loss < lowest:
            best, lowest = evolve(model, discounts=tuple(discounts)), loss
    return best


def _levels(ids: NDArray[np.int32], offsets: Ints, size: int) -> tuple[_Level, ...]:
    """The n-grams of a text, of the orders 1 to 5, as far as there are any."""
    depth = _depth(len(ids), offsets)
    tokens = ids.astype(np.int64)
    numbers = np.zeros(len(ids), np.int64)  # of each token the n-gram that ends with it
    levels: list[_Level] = []
    for n in range(1, MOST + 1):
        there = np.flatnonzero(depth >= n - 1)
        if not len(there):
            break
        before = numbers[there] if n == 1 else numbers[there - 1]
        keys, first, own = np.unique(
            before * size + tokens[there], return_index=True, return_inverse=True
        )
        if levels:  # each n-gram is one more token before the (n-1)-gram that it ends with
            ends = np.bincount(numbers[there[first]], minlength=len(levels[-1].keys))
            levels[-1] = evolve(levels[-1], new=levels[-1].new + ends)
        predicted = depth[there] >= 1
        begins = predicted & (depth[there] == n - 1)
        levels.append(
            _Level(
                keys,
                seen=np.bincount(own[predicted], minlength=len(keys)),
                new=np.bincount(own[begins], minlength=len(keys)),
                histories=keys // size,
            )
        )
        numbers = np.full(len(ids), -1, np.int64)
        numbers[there] = own
    return tuple(levels)


def _depth(length: int, offsets: Ints) -> Ints:
    """How many tokens stand before each one in its stretch; the first one is not predicted."""
    places = np.arange(length)
    return places - offsets[np.searchsorted(offsets, places, side="right") - 1]


def _find(keys: Ints, wanted: Ints) -> Ints:
    """The places of ``wanted`` among sorted ``keys``; -1 for those that are not there."""
    places = np.searchsorted(keys, wanted).clip(max=len(keys) - 1)
    return np.where(keys[places] == wanted, places, -1)


def _mixed(parts: Floats, discounts: Sequence[float], size: int) -> Floats:
    """Probabilities from what :meth:`KneserNey._parts` gives, of the first order on."""
    mixed = np.full(parts.shape[-1], 1 / size)
    for (count, total, kinds), discount in zip(parts, discounts, strict=True):
        own = (np.maximum(count - discount, 0) + discount * kinds * mixed) / np.maximum(total, 1)
        mixed = np.where(total > 0, own, mixed)
    return mixed
