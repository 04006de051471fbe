"""What a tokenizer leaves out of a text, in bits."""

from __future__ import annotations

import random

import pytest
from llmattn.data.corpus import encode_lines
from llmattn.data.text_tokenizer import train_tokenizer
from llmattn.training.text_forms import left_out_bits

LINES = ["The cat sees the dog, and I hear it.", "Dogs don't. Cats do!"] * 20


def bits(lines: list[str], preset: str = "words", *, stream: bool = False) -> float:
    tokenizer = train_tokenizer(LINES, preset=preset, min_count=1, vocab_size=512)
    return left_out_bits(encode_lines(lines, tokenizer, stream=stream))


@pytest.mark.parametrize("stream", [False, True])
def test_text_that_is_written_as_guessed_costs_nothing(stream: bool) -> None:
    assert bits(LINES, stream=stream) == 0


def test_pieces_of_words_leave_nothing_out() -> None:
    assert bits(["tHe  CAT sees a\u0308 zebra ,\tand", "a 漢字"], "bpe") == 0


def test_case_by_chance_costs_a_bit_a_word() -> None:
    chance = random.Random(0)
    words = [chance.choice(("cat", "CAT")) for _ in range(3000)]
    assert bits([" ".join(["the", *words])]) == pytest.approx(3000, rel=0.03)


def test_spaces_by_chance_cost_a_bit_each() -> None:
    chance = random.Random(0)
    text = "".join(chance.choice((" cat", "   cat")) for _ in range(3000))
    assert bits([f"the{text}"]) == pytest.approx(3000, rel=0.03)


def test_what_is_always_written_alike_costs_next_to_nothing() -> None:
    assert 0 < bits(["THE  CAT  SEES  THE  DOG"] * 400) < 200


def test_marks_that_a_tokenizer_drops_are_written_too() -> None:
    assert bits(LINES, "seed") > 8 * len(",!") + 40


def test_letters_of_unknown_words_are_not_counted_but_the_spaces_before_them() -> None:
    assert bits(["The zebra sees the gnu."]) == 0
    assert bits(["The   zebra sees the gnu."]) > 0


def test_blank_lines_of_a_stream_cost_the_same_for_every_tokenizer() -> None:
    lines = [f"{line}\n" if place % 3 else line for place, line in enumerate(LINES)]
    costs = [bits(lines, preset, stream=True) for preset in ("words", "bpe")]
    assert costs[0] > 30
    assert costs[0] == pytest.approx(costs[1])
