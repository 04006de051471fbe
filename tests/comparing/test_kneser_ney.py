"""The n-gram model beside the arms, held against its formula, word by word."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise

import numpy as np
import pytest
from llmattn.comparing.kneser_ney import KneserNey, fit
from llmattn.data.corpus import Split, encode_lines
from llmattn.data.tokenizer import WordTokenizer

LINES = [
    "the cat saw the dog and the dog saw the cat",
    "the dog ran and the cat ran and the bird saw the cat",
    "a bird saw a cat",
]
NEW = ["the bird ran and a cat saw the bird", "and and and dog"]


def splits(*, stream: bool) -> tuple[Split, Split]:
    tokenizer = WordTokenizer.train(LINES, preset="words")
    return tuple(encode_lines(lines, tokenizer, stream=stream) for lines in (LINES, NEW))  # type: ignore[return-value]


def stretches(split: Split) -> list[list[int]]:
    ends = split.offsets
    return [split.ids[a:b].tolist() for a, b in pairwise(ends)]


def by_the_formula(train: Split, split: Split, discounts: tuple[float, ...]) -> list[float]:
    """Kneser and Ney's formula with dictionaries: no number of an n-gram, no array."""
    order = len(discounts)
    counts: dict[tuple[int, ...], float] = defaultdict(float)
    before: dict[tuple[int, ...], set[int]] = defaultdict(set)
    for text in stretches(train):
        for end in range(1, len(text)):
            for n in range(1, min(order, end + 1) + 1):
                gram = tuple(text[end - n + 1 : end + 1])
                if n == order:
                    counts[gram] += 1
                elif end - n >= 0:
                    before[gram].add(text[end - n])
                else:  # at the beginning nothing stands before it
                    counts[gram] += 1
    for gram, tokens in before.items():
        counts[gram] += len(tokens)

    def probability(history: tuple[int, ...], token: int, n: int) -> float:
        if n == 0:
            return 1 / len(train.tokenizer)
        lower = probability(history[1:], token, n - 1)
        if len(history) < n - 1:
            return probability(history, token, n - 1)
        own = {g: c for g, c in counts.items() if len(g) == n and g[:-1] == history}
        total = sum(own.values())
        if not total:
            return lower
        discount = discounts[n - 1]
        kept = max(own.get((*history, token), 0) - discount, 0)
        return (kept + discount * len(own) * lower) / total

    found = []
    for text in stretches(split):
        for end in range(1, len(text)):
            history = tuple(text[max(0, end - order + 1) : end])
            found.append(probability(history, text[end], min(order, len(history) + 1)))
    return found


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("discounts", [(0.6,), (0.3, 0.8), (0.9, 0.5, 0.7, 0.4)])
def test_probabilities_are_those_of_the_formula(stream: bool, discounts: tuple[float, ...]) -> None:
    train, new = splits(stream=stream)
    model = KneserNey(len(train.tokenizer), fit(train, new).levels, discounts)
    for split in (train, new):
        found = model.probabilities(split.ids, split.offsets)
        assert len(found) == split.targets
        np.testing.assert_allclose(found, by_the_formula(train, split, discounts))


@pytest.mark.parametrize("order", [1, 3, 5])
def test_probabilities_of_all_tokens_add_up_to_one(order: int) -> None:
    train, new = splits(stream=True)
    model = KneserNey(len(train.tokenizer), fit(train, new).levels, (0.7,) * order)
    size = len(train.tokenizer)
    for length in (1, 4, 9, len(new.ids) - 1):
        history = new.ids[:length]
        total = 0.0
        for token in range(size):
            ids = np.append(history, token).astype(np.int32)
            total += model.probabilities(ids, np.array([0, len(ids)]))[-1]
        assert total == pytest.approx(1)


def test_order_and_discounts_are_those_that_suit_the_validation_text() -> None:
    train, new = splits(stream=True)
    chosen = fit(train, new)
    others = [
        KneserNey(len(train.tokenizer), chosen.levels, (discount,) * order).loss(new)
        for order in range(1, len(chosen.levels) + 1)
        for discount in (0.25, 0.5, 0.75)
    ]
    assert chosen.loss(new) <= min(others)
