from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from llmattn.errors import BadReply
from llmattn.providers.reply import read_reply
from llmattn.rows import Row

ROWS = (Row("eats", ("the", "cat", "of")), Row("ran", ("a", "dog")))
GOOD = '{"relevance":["180","17"]}'
CHANNELS = ("relevance",)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)
almost = st.fixed_dictionaries({"relevance": st.lists(json_values, max_size=3)}).map(json.dumps)
edits = st.builds(
    lambda at, cut, put: GOOD[:at] + put + GOOD[at + cut :],
    st.integers(0, len(GOOD)),
    st.integers(0, 9),
    st.text(alphabet='{}[]",:0123456789 eNan-', max_size=6),
)


@given(st.text() | json_values.map(json.dumps) | almost | edits)
def test_any_text_gives_scores_in_range_or_bad_reply(text: str) -> None:
    try:
        scores = read_reply(text, ROWS, CHANNELS)
    except BadReply:
        return
    assert [row.shape for row in scores] == [(1, 3), (1, 2)]
    for row in scores:
        known = row[~np.isnan(row)]
        assert ((known >= 0) & (known <= 1)).all()


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "{" * 100_000])
def test_deep_nesting_is_a_bad_reply(text: str) -> None:
    with pytest.raises(BadReply):
        read_reply(text, ROWS, CHANNELS)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"Sure! Scores from {{0 to 9}}:\n```json\n{GOOD}\n```\nAnything else?",
        f'<think>perhaps {{"relevance":["000","00"]}}</think>\n{GOOD}',
        '{"relevance":[[1,8,0],[1.0,7]]}',
        '{ "relevance" : [ "180" , "17" ], "note": "as asked" }',
    ],
)
def test_the_last_whole_object_counts_whatever_stands_around_it(text: str) -> None:
    first, second = read_reply(text, ROWS, CHANNELS)
    np.testing.assert_allclose(first * 9, [[1, 8, 0]], rtol=1e-6)
    np.testing.assert_allclose(second * 9, [[1, 7]], rtol=1e-6)


@pytest.mark.parametrize(
    "row",
    [
        '"18"',
        '"1800"',
        '"18x"',
        '"١٨٠"',
        '"-18"',
        "180",
        "null",
        '["high","high","low"]',
        "[1,8,-1]",
        "[1,8,10]",
        "[1,8,0.5]",
        "[1,8,NaN]",
        "[1,8,Infinity]",
        "[1,8,true]",
        f"[1,8,{10**400}]",
        "[1,8]",
    ],
)
def test_an_unusable_row_is_unknown_and_the_others_are_kept(row: str) -> None:
    first, second = read_reply(f'{{"relevance":[{row},"17"]}}', ROWS, CHANNELS)
    assert np.isnan(first).all()
    np.testing.assert_allclose(second * 9, [[1, 7]], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no complete JSON object"),
        ("I rate them 180 and 17.", "no complete JSON object"),
        (GOOD[:-3], "no complete JSON object"),
        ('{"relevance":["180"]}', "1 rows in 'relevance' where 2 were asked"),
        ('{"relevance":["180","17","5"]}', "3 rows"),
        ('{"syntax":["180","17"]}', "no list 'relevance'"),
        ('{"relevance":"18017"}', "no list 'relevance'"),
        ('{"relevance":["180","17"],"relevance":["000","00"]}', "twice"),
        ('{"relevance":["x","y"]}', "No row"),
    ],
)
def test_a_reply_that_cannot_be_aligned_says_why(text: str, words: str) -> None:
    with pytest.raises(BadReply, match=words):
        read_reply(text, ROWS, CHANNELS)


def test_each_criterion_is_a_channel() -> None:
    text = '{"meaning":["222","22"],"syntax":["111","11"]}'
    first, _ = read_reply(text, ROWS, ("syntax", "meaning"))
    np.testing.assert_allclose(first * 9, [[1, 1, 1], [2, 2, 2]], rtol=1e-6)
