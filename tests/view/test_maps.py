"""Vertical lines, strongest pairs, and the scales of colours."""

from __future__ import annotations

import numpy as np
import pytest
from llmattn.view.maps import Floats, lines_of, strongest_pairs
from llmattn.view.scales import SCALES, fit_scale


def attention(size: int, sink: int | None) -> Floats:
    """Weights ``(T, T)``: most on the key ``sink``, some two keys back, the rest even."""
    weights = np.tri(size, dtype=np.float32)
    weights[np.arange(2, size), np.arange(size - 2)] += 0.3 * size
    if sink is not None:
        weights[sink:, sink] += 4 * size
    weights /= weights.sum(1, keepdims=True)
    found: Floats = np.where(np.tri(size, dtype=bool), weights, np.float32(np.nan))
    return found


@pytest.mark.parametrize("size", [16, 200])
@pytest.mark.parametrize("sink", [None, 0, 3])
def test_a_vertical_line_is_found_where_there_is_one(size: int, sink: int | None) -> None:
    assert lines_of(attention(size, sink)) == ([] if sink is None else [sink])


def test_the_strongest_pairs_name_no_key_twice_and_no_vertical_line() -> None:
    matrix = attention(50, 0)
    labels = [f"w{n % 40}" for n in range(50)]
    pairs = strongest_pairs(matrix, labels, 6, lines_of(matrix))
    assert len(pairs) == 6
    assert len({key for _, key in pairs}) == 6
    assert all(query - key == 2 and key for query, key in pairs)
    assert len({(labels[q], labels[k]) for q, k in pairs}) == 6


@pytest.mark.parametrize("name", SCALES)
def test_a_scale_keeps_the_order_and_tells_what_stands_at_its_places(name: str) -> None:
    matrix = attention(100, 0)
    scale = fit_scale(name, matrix[None])
    values = np.sort(matrix[np.tri(100, dtype=bool)])
    places = scale.places(values)
    assert places.min() >= 0
    assert places.max() <= 1
    assert (np.diff(places) >= 0).all()
    assert np.isnan(scale.places(np.array([np.nan]))).all()
    ends = [scale.value_at(place) for place in (0, 0.25, 0.5, 0.75, 1)]
    assert ends == sorted(ends)


@pytest.mark.parametrize("name", SCALES)
def test_a_vertical_line_does_not_dim_the_rest(name: str) -> None:
    matrix = attention(200, 0)
    assert matrix[199, 197] < 0.1 * matrix[199, 0]
    # Two keys back from the last token: what a reader looks for.
    assert fit_scale(name, matrix[None]).places(matrix[199, 197]) > 0.5


def test_weights_of_a_long_text_are_told_apart_by_the_logarithm() -> None:
    matrix = attention(400, 0)
    places = fit_scale("log", matrix[None]).places(np.array([0.5, 2.0]) * matrix[399, 100])
    assert places[1] - places[0] > 0.1
