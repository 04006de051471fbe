"""Packing rows into requests."""

from __future__ import annotations

from collections import Counter
from itertools import permutations

from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from llmattn.feeds.windows import window_rows
from llmattn.providers.protocol import Limits
from llmattn.rows import Row, Scope, pair_rows, prefix_rows
from llmattn.scoring.planner import APART, merge_rows, pack

words = st.text(min_size=1, max_size=4)
pair_row = st.builds(Row, words, st.lists(words, min_size=1, max_size=40, unique=True))
limits = st.builds(
    Limits,
    pairs_per_request=st.integers(1, 50),
    rows_per_request=st.integers(1, 10),
    keys_per_row=st.integers(1, 20),
)


@given(st.lists(pair_row, max_size=20), limits)
def test_every_pair_is_packed_exactly_once(rows: list[Row], limits: Limits) -> None:
    packed = pack(rows, limits, Scope.PAIR)
    wanted = Counter((row.query, key) for row in rows for key in row.keys)
    assert Counter((row.query, key) for r in packed for row in r for key in row.keys) == wanted


@given(st.lists(pair_row, max_size=20), limits)
def test_no_request_passes_a_limit(rows: list[Row], limits: Limits) -> None:
    for request in pack(rows, limits, Scope.PAIR):
        assert 1 <= len(request) <= limits.rows_per_request
        assert sum(len(row.keys) for row in request) <= limits.pairs_per_request
        assert all(len(row.keys) <= limits.keys_per_row for row in request)


@given(st.lists(st.lists(words, min_size=1, max_size=8), max_size=8))
def test_texts_in_one_request_never_show_each_other_the_future(texts: list[list[str]]) -> None:
    rows = merge_rows(row for text in texts for row in prefix_rows(text))
    packed = pack(rows, Limits(), Scope.PREFIX)
    assert Counter(row for request in packed for row in request) == Counter(rows)
    for request in packed:
        for shorter in request:
            for longer in request:
                assert longer.keys[: len(shorter.keys)] != shorter.keys or longer == shorter


@settings(deadline=None)
@given(
    st.lists(st.sampled_from("abc"), min_size=2, max_size=600),
    st.integers(2, 20),
    st.integers(0, 30),
)
def test_no_text_in_a_request_stands_near_another_one_in_the_corpus(
    text: list[str], size: int, context_words: int
) -> None:
    rows = [
        row
        for start in range(0, len(text), size)
        for row in window_rows(
            text,
            start,
            min(size, len(text) - start),
            context_words=context_words,
        )
    ]
    places: dict[tuple[str, ...], list[int]] = {}
    for row in rows:
        places.setdefault(row.keys, []).append(row.spans[0][1])
    packed = pack(merge_rows(rows), Limits(), Scope.PREFIX)
    assert Counter(row for request in packed for row in request) == Counter(set(rows))
    for request in packed:
        for row, other in permutations(request, 2):
            for end in places[row.keys]:
                following = range(end + 1, end + 1 + APART)
                for last in places[other.keys]:
                    first = last - len(other.keys) + 1
                    assert not (first < following.stop and last >= following.start)


def test_the_distance_costs_few_requests() -> None:
    text = [f"w{n}" for n in range(20_000)]
    rows = [
        row
        for start in range(0, len(text), 64)
        for row in window_rows(text, start, min(64, len(text) - start))
    ]
    anyhow = [evolve(row, spans=()) for row in rows]
    limits = Limits(rows_per_request=128)
    apart, near = (len(pack(found, limits, Scope.PREFIX)) for found in (rows, anyhow))
    assert near <= apart < near + 2 * APART


def test_rows_of_texts_that_are_no_corpus_share_requests() -> None:
    rows = [row for text in ("ab", "cd", "ef") for row in prefix_rows(list(text))]
    assert len(pack(rows, Limits(), Scope.PREFIX)) == 2


def test_a_long_row_is_cut_into_parts_of_nearly_equal_length() -> None:
    row = Row("q", [f"k{i}" for i in range(33)])
    (request,) = pack([row], Limits(keys_per_row=32), Scope.PAIR)
    assert [len(part.keys) for part in request] == [16, 17]


def test_equal_queries_are_asked_as_one_row() -> None:
    assert merge_rows([Row("a", ["x", "y"]), Row("b", ["x"]), Row("a", ["z", "x"])]) == [
        Row("a", ["x", "y", "z"]),
        Row("b", ["x"]),
    ]


def test_a_text_needs_each_pair_once_and_no_pair_with_a_later_word() -> None:
    assert pair_rows(["the", "cat", "the"]) == [
        Row("the", ["cat", "the"]),
        Row("cat", ["cat", "the"]),
    ]
    assert pair_rows(["a", "b"]) == [Row("a", ["a"]), Row("b", ["a", "b"])]


nested = st.builds(
    Limits,
    pairs_per_request=st.integers(1, 50),
    rows_per_request=st.integers(1, 10),
    nested_rows=st.just(True),
)


@settings(deadline=None)
@given(st.lists(st.lists(words, min_size=1, max_size=8), max_size=8), nested)
def test_a_causal_provider_gets_the_rows_in_order_and_whole(
    texts: list[list[str]], limits: Limits
) -> None:
    rows = merge_rows(row for text in texts for row in prefix_rows(text))
    packed = pack(rows, limits, Scope.PREFIX)
    assert [row for request in packed for row in request] == rows
    for request in packed:
        assert len(request) <= limits.rows_per_request
        alone = len(request) == 1
        assert alone or sum(len(row.keys) for row in request) <= limits.pairs_per_request


def test_a_causal_provider_gets_whole_texts_in_a_request() -> None:
    rows = [*prefix_rows(list("abcd")), *prefix_rows(list("efgh"))]
    limits = Limits(rows_per_request=6, nested_rows=True)
    assert [len(request) for request in pack(rows, limits, Scope.PREFIX)] == [4, 4]
    limits = Limits(rows_per_request=8, nested_rows=True)
    assert [len(request) for request in pack(rows, limits, Scope.PREFIX)] == [8]
    limits = Limits(rows_per_request=3, nested_rows=True)
    assert [len(request) for request in pack(rows, limits, Scope.PREFIX)] == [3, 1, 3, 1]
