"""The scores of a text's tokens with each other."""

from __future__ import annotations

import numpy as np
import pytest
from llmattn.rows import Row
from llmattn.scoring.opening import open_source
from llmattn.scoring.options import ScoreChoice
from llmattn.scoring.source import ScoreSource
from llmattn.scoring.text_matrix import text_matrix

TOKENS = ["to", "be", "or", "not", "to", "be", "\x00", "a\x00", "a"]


def random_source(scope: str = "pair") -> ScoreSource:
    return open_source("random", ScoreChoice(cache="memory", scope=scope))


def test_each_pair_of_words_has_the_score_of_its_row() -> None:
    with random_source() as source:
        matrix = text_matrix(source, TOKENS)
        for i, query in enumerate(TOKENS):
            (scores,) = source.scores([Row(query, TOKENS[: i + 1])])
            np.testing.assert_array_equal(matrix[:, i, : i + 1], scores)


def test_in_context_each_token_has_the_scores_of_its_row_but_the_first_is_not_asked_for() -> None:
    with random_source("prefix") as source:
        matrix = text_matrix(source, TOKENS)
        for i in range(1, len(TOKENS)):
            (scores,) = source.scores([Row(TOKENS[i], TOKENS[: i + 1], TOKENS[:i])])
            np.testing.assert_array_equal(matrix[:, i, : i + 1], scores)
        (info,) = source.cache.namespaces()
        assert info.rows == len(TOKENS) - 1


@pytest.mark.parametrize("scope", ["pair", "prefix"])
def test_nothing_is_known_above_the_diagonal(scope: str) -> None:
    with random_source(scope) as source:
        matrix = text_matrix(source, TOKENS)
        assert np.isnan(matrix[0][np.triu_indices(len(TOKENS), 1)]).all()
        assert text_matrix(source, []).shape == (1, 0, 0)
