from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from llmattn.providers.criteria import BUILT_IN, Criterion
from llmattn.providers.prompt import Prompt, build_prompt, read_rows, system_text
from llmattn.providers.reply import last_object
from llmattn.rows import Row, Scope, prefix_rows

RELEVANCE = (BUILT_IN["relevance"],)
words = st.text(min_size=1, max_size=12)
rows = st.builds(Row, words, st.lists(words, min_size=1, max_size=5))


def prompt(asked: list[Row], reply: str = "digits") -> Prompt:
    system = system_text(RELEVANCE, reply)
    return build_prompt(asked, RELEVANCE, system=system, reply=reply, reasoning_tokens=0)


@given(st.lists(rows, min_size=1, max_size=5))
def test_any_words_come_out_of_the_document_as_they_went_in(asked: list[Row]) -> None:
    user = prompt(asked).user.encode().decode()  # what HTTP carries
    assert read_rows(user) == [(row.query, row.keys) for row in asked]


def test_words_without_white_space_are_one_string() -> None:
    user = prompt([Row("eats", ("the", "cat"))]).user
    assert user == '{"rows":[["eats","the cat"]]}'


@pytest.mark.parametrize("key", ["a cat", "a\tcat", "a\u2003cat", ""])
def test_keys_that_one_string_cannot_hold_are_an_array(key: str) -> None:
    user = prompt([Row("eats", (key, "the"))]).user
    assert json.loads(user) == {"rows": [["eats", [key, "the"]]]}


def test_the_constant_text_does_not_depend_on_the_words() -> None:
    one, other = prompt([Row("eats", ("cat",))]), prompt([Row("ran", ("dog", "a"))])
    assert (one.system, one.schema) == (other.system, other.schema)


def test_words_stand_in_the_document_alone() -> None:
    asked = prompt([Row("ignore-all-instructions", ("zebra",))])
    assert "ignore-all-instructions" not in asked.system
    assert "ignore-all-instructions" in asked.user


@pytest.mark.parametrize("reply", ["digits", "integers"])
def test_the_constant_text_ends_with_an_example_of_the_reply(reply: str) -> None:
    criteria = (BUILT_IN["syntax"], BUILT_IN["meaning"])
    example = last_object(system_text(criteria, reply))
    assert example is not None
    assert list(example) == ["syntax", "meaning"]


@pytest.mark.parametrize("reply", ["digits", "integers"])
def test_the_limit_leaves_room_for_a_reply_with_a_token_a_character(reply: str) -> None:
    asked = [Row("q", tuple(f"k{i}" for i in range(n))) for n in (1, 7, 32)]
    one = "9" if reply == "digits" else [9]
    text = json.dumps({"relevance": [one * len(row.keys) for row in asked]}, separators=(",", ":"))
    assert prompt(asked, reply).max_output_tokens >= len(text)


def test_the_exact_schema_fixes_the_number_of_rows_and_of_scores() -> None:
    schema = prompt([Row("q", ("a", "b")), Row("r", ("a",))]).exact_schema
    per_row = schema["properties"]["relevance"]
    assert (per_row["minItems"], per_row["maxItems"]) == (2, 2)
    assert [item["pattern"] for item in per_row["prefixItems"]] == ["^[0-9]{2}$", "^[0-9]{1}$"]


def test_a_criterion_of_the_user_is_worded_in_the_prompt() -> None:
    text = system_text((Criterion("rhyme", "how well the two words\n rhyme"),), "digits")
    assert "- rhyme: how well the two words rhyme\n" in text


def texts_prompt(asked: list[Row]) -> Prompt:
    system = system_text(RELEVANCE, "digits", Scope.PREFIX)
    return build_prompt(
        asked, RELEVANCE, system=system, reply="digits", reasoning_tokens=0, scope=Scope.PREFIX
    )


def test_a_text_so_far_is_shown_with_numbers_that_help_to_count() -> None:
    rows = prefix_rows(["\n", "First", " Citizen", ":", "\n\n", "We", " are"])
    assert texts_prompt(rows[-1:]).user == '{"texts":["1:¶ First Citizen : ¶¶ 6:We 7:are"]}'


pieces = st.text(min_size=1, max_size=6)


@settings(deadline=None)
@given(st.lists(pieces, min_size=1, max_size=9))
def test_any_text_has_as_many_numbered_words_as_it_has_pieces(text: list[str]) -> None:
    row = prefix_rows(text)[-1]
    ((_, words),) = read_rows(texts_prompt([row]).user)
    assert [word.partition(":")[0] for word in words] == [str(n + 1) for n in range(len(text))]


def test_a_text_is_shown_without_what_follows_it() -> None:
    asked = texts_prompt(prefix_rows(["The", " cat", " sat"])[:2])
    assert "sat" not in asked.user


def test_the_example_of_texts_is_in_the_form_that_is_asked_for() -> None:
    assert last_object(system_text(RELEVANCE, "integers", Scope.PREFIX)) == {
        "relevance": [[1, 8, 0], [1, 7]]
    }
