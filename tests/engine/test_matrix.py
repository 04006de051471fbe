"""``get_attention_matrix``, the function that LLM-Computing had."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from llmattn import get_attention_matrix
from llmattn.data.tokenizer import text_pieces
from llmattn.errors import ConfigError

TOKENS = ["the", "cat", "sat", "on", "the", "mat"]


def matrix(tokens: list[str] = TOKENS, temperature: float = 1.0) -> torch.Tensor:
    return get_attention_matrix(tokens, provider="random", cache="memory", temperature=temperature)


def test_rows_sum_to_one_and_see_no_future() -> None:
    found = matrix()
    assert found.shape == (6, 6)
    assert torch.allclose(found.sum(-1), torch.ones(6))
    assert (found.triu(1) == 0).all()


def test_a_later_token_changes_no_earlier_row() -> None:
    before = matrix()
    for place in range(1, 6):
        changed = [*TOKENS]
        changed[place] = "dog"
        assert torch.allclose(matrix(changed)[:place], before[:place])


def test_cut_from_a_longer_text_the_matrix_is_the_same() -> None:
    assert torch.allclose(matrix(TOKENS[:4]), matrix()[:4, :4])


def test_lower_temperature_is_sharper_than_the_bound_of_raw_scores() -> None:
    assert matrix(temperature=0.01).amax(-1)[-1] > 0.5
    last = matrix()[-1]
    assert last.max() / last.min() < torch.e + 1e-5


def test_text_in_which_a_provider_counts_is_used() -> None:
    text = [["cat", "sat"]] * 4 + [["mat", "on"]] * 4
    found = get_attention_matrix(
        ["cat", "mat", "sat"], provider="cooccurrence", cache="memory", text=text
    )
    assert found[2, 0] > found[2, 1]


def test_no_tokens_give_an_empty_matrix() -> None:
    assert matrix([]).shape == (0, 0)


def test_a_string_is_taken_apart_into_words() -> None:
    whole = get_attention_matrix("The cat SAT on the mat", provider="random", cache="memory")
    assert torch.equal(whole, matrix())


def test_a_string_without_a_word_gives_an_empty_matrix() -> None:
    assert get_attention_matrix("  ", provider="random", cache="memory").shape == (0, 0)


def test_in_context_a_string_is_taken_apart_into_pieces_as_written() -> None:
    text = "Who goes there?\n\nIt's Ann."
    pieces = text_pieces(text)
    assert pieces == ["Who", " goes", " there", "?", "\n\n", "It's", " Ann", "."]
    assert torch.equal(in_context(text), in_context(pieces))


@settings(deadline=None)
@given(st.text("ab .\n'", max_size=30))
def test_pieces_are_the_text_as_it_was_written(text: str) -> None:
    assert "".join(text_pieces(text)) == text


def in_context(tokens: list[str] | str) -> torch.Tensor:
    options = {"random.scope": "prefix"}
    return get_attention_matrix(tokens, provider="random", cache="memory", options=options)


def test_in_context_a_later_token_changes_no_earlier_row_but_an_earlier_one_does() -> None:
    before = in_context(TOKENS)
    after = in_context([*TOKENS[:3], "under", *TOKENS[4:]])
    assert torch.equal(after[:3], before[:3])
    assert not torch.allclose(after[4:], before[4:])
    assert torch.allclose(before.sum(-1), torch.ones(6))
    assert (before.triu(1) == 0).all()


def test_temperature_must_be_above_zero() -> None:
    with pytest.raises(ConfigError, match="temperature"):
        matrix(temperature=0.0)
