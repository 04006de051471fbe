"""Filling a cache from a provider over real HTTP: nothing lost, nothing asked twice."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from llmattn.errors import (
    BadReply,
    DegenerateReplies,
    ProviderRejected,
    ProviderUnavailable,
)
from llmattn.providers.prompt import read_rows
from llmattn.rows import Row
from llmattn.scoring.options import ScoringOptions
from llmattn.testing.faults import FAULTS, FaultPlan
from llmattn.testing.server import ScoreServer
from support_scoring import assert_scored, custom_source, some_rows

# Faults that take a time-out each are tested one by one, not by the hundred.
QUICK = tuple(name for name in FAULTS if name not in ("stall", "loading"))


def test_every_pair_is_scored_and_the_second_run_asks_nothing(tmp_path: Path) -> None:
    rows = some_rows(50, 20)
    with ScoreServer() as server, custom_source(server, tmp_path) as source:
        report = source.fill(rows)
        assert (report.pairs, report.scored, report.left) == (1000, 1000, 0)
        assert_scored(source, rows)
        requests = len(server.log.requests)
        assert source.fill(rows).cached == 1000
        assert len(server.log.requests) == requests


def test_only_the_missing_keys_of_a_row_are_asked(tmp_path: Path) -> None:
    with ScoreServer() as server, custom_source(server, tmp_path) as source:
        source.fill([Row("cat", ["the", "a"])])
        source.fill([Row("cat", ["the", "a", "black"])])
        assert server.log.summary()["most_times_one_pair"] == 1
        assert server.log.summary()["distinct_pairs"] == 3


def test_with_a_third_of_all_replies_faulty_every_pair_ends_scored_once(tmp_path: Path) -> None:
    rows = some_rows(250, 40)
    with ScoreServer() as server, custom_source(server, tmp_path / "clean") as source:
        source.fill(rows)
        clean = len(server.log.requests)
    faults = FaultPlan.evenly(0.3, names=QUICK, seed=3)
    with ScoreServer(faults=faults) as server:
        # Many small requests, so that the share of faulty ones is near 30%.
        with custom_source(server, tmp_path / "a", pairs_per_request=100) as source:
            report = source.fill(rows)
            assert report.left == 0
            assert_scored(source, rows)
        requests = len(server.log.requests)
        assert len(server.log.faults) >= len(QUICK) - 4
    assert clean <= 10000 / 512
    assert requests <= 1.6 * 100


@pytest.mark.parametrize("fault", sorted(FAULTS))
def test_a_first_reply_with_this_fault_is_asked_again(fault: str, tmp_path: Path) -> None:
    class FirstOnly(FaultPlan):
        def draw(self, number: int) -> str | None:
            return fault if number == 0 else None

    rows = some_rows(3, 5)
    timeout = 1 if fault == "stall" else 60
    with (
        ScoreServer(faults=FirstOnly()) as server,
        custom_source(server, tmp_path, timeout=timeout) as source,
    ):
        source.fill(rows)
        assert_scored(source, rows)
        assert len(server.log.requests) <= 3


def test_a_row_wanted_twice_at_once_is_asked_once(tmp_path: Path) -> None:
    rows = some_rows(40, 20)
    with ScoreServer(latency=0.1) as server, custom_source(server, tmp_path) as source:
        threads = [threading.Thread(target=source.fill, args=(rows,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert server.log.summary()["most_times_one_pair"] == 1
        assert_scored(source, rows)


def test_a_wrong_key_ends_at_once_and_names_the_variable(tmp_path: Path) -> None:
    with (
        ScoreServer(api_key="right") as server,
        custom_source(server, tmp_path, api_key="wrong-key") as source,
        pytest.raises(ProviderRejected, match="CUSTOM_API_KEY") as caught,
    ):
        source.fill(some_rows(100, 32))
    assert "wrong-key" not in str(caught.value)


def test_a_server_that_is_not_there_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("llmattn.scoring.retry.TRIES_BEFORE_CONTACT", 2)
    with (
        custom_source("http://user:hunter22@127.0.0.1:9/v1", tmp_path) as source,
        pytest.raises(ProviderUnavailable, match=r"127\.0\.0\.1:9") as caught,
    ):
        source.fill(some_rows(1, 3))
    assert "hunter22" not in str(caught.value)


def test_max_requests_counts_every_request_sent(tmp_path: Path) -> None:
    faults = FaultPlan({"server_error": 0.3}, seed=1)
    options = ScoringOptions(quiet=True, max_requests=10)
    with (
        ScoreServer(faults=faults) as server,
        custom_source(server, tmp_path, options, pairs_per_request=20) as source,
    ):
        report = source.fill(some_rows(50, 20))
        assert len(server.log.requests) == 10
        assert report.stopped is not None
        assert 0 < report.scored < report.pairs


def test_after_its_limit_a_source_still_tells_what_is_cached(tmp_path: Path) -> None:
    options = ScoringOptions(quiet=True, max_requests=1)
    with (
        ScoreServer() as server,
        custom_source(server, tmp_path, options, pairs_per_request=20) as source,
    ):
        rows = some_rows(3, 20)
        assert source.fill(rows).left == 40
        again = source.fill(rows)
        assert (again.cached, again.left) == (20, 40)
        assert again.stopped is not None
        assert len(server.log.requests) == 1


def test_max_cost_is_never_passed_also_with_faults_and_many_at_once(tmp_path: Path) -> None:
    faults = FaultPlan.evenly(0.3, names=QUICK, seed=5)
    options = ScoringOptions(quiet=True, max_cost=0.05, price_in=1.0, price_out=4.0)
    with (
        ScoreServer(faults=faults) as server,
        custom_source(server, tmp_path, options, pairs_per_request=50) as source,
    ):
        report = source.fill(some_rows(400, 20))
        assert 0 < report.usage.cost <= 0.05
        assert report.stopped is not None
        (info,) = source.cache.namespaces()
        assert info.usage.cost <= 0.05


def test_what_was_spent_is_kept_with_the_scores(tmp_path: Path) -> None:
    options = ScoringOptions(quiet=True, price_in=1.0, price_out=4.0)
    with ScoreServer() as server, custom_source(server, tmp_path, options) as source:
        report = source.fill(some_rows(10, 10))
        (info,) = source.cache.namespaces()
        assert info.usage == report.usage
        assert info.usage.cost > 0


@pytest.mark.parametrize("at_once", [1, 4, 16])
def test_a_model_that_cannot_score_is_found_out_before_the_money_is_gone(
    tmp_path: Path, at_once: int
) -> None:
    with (
        ScoreServer(answers="counting") as server,
        custom_source(server, tmp_path, pairs_per_request=20, requests_at_once=at_once) as source,
    ):
        rows = some_rows(200, 20)
        with pytest.raises(DegenerateReplies, match="carry nothing"):
            source.fill(rows)
        assert len(server.log.requests) <= 20 + at_once
        assert source.missing(rows) == rows


def test_a_small_run_of_nothing_but_empty_rows_fails_too(tmp_path: Path) -> None:
    with (
        ScoreServer(answers="constant") as server,
        custom_source(server, tmp_path) as source,
        pytest.raises(DegenerateReplies),
    ):
        source.fill(some_rows(3, 20))


def test_empty_rows_are_kept_when_the_user_allows_them(tmp_path: Path) -> None:
    options = ScoringOptions(quiet=True, max_degenerate=1.0)
    rows = some_rows(3, 20)
    with (
        ScoreServer(answers="constant") as server,
        custom_source(server, tmp_path, options) as source,
    ):
        report = source.fill(rows)
        assert report.scored == 60
        assert "100% of the rows carry nothing" in source.summary(report)


def test_replies_that_never_hold_scores_end_in_one_error(tmp_path: Path) -> None:
    with (
        ScoreServer(faults=FaultPlan({"empty": 1.0})) as server,
        custom_source(server, tmp_path) as source,
        pytest.raises(BadReply, match="no usable scores"),
    ):
        source.fill(some_rows(2, 4))


def test_a_pair_that_is_never_answered_does_not_block_later_runs(tmp_path: Path) -> None:
    def refuses(query: str, keys: list[str], criterion: str) -> list[int]:
        return [] if query == "query3" else [(n * 7 + 3) % 10 for n in range(len(keys))]

    with ScoreServer(answers=refuses) as server:
        for _ in range(2):
            with custom_source(server, tmp_path) as source:
                assert source.fill(some_rows(10, 4)).left == 4


def test_a_small_remainder_of_empty_rows_is_kept(tmp_path: Path) -> None:
    rows = some_rows(40, 8)
    with ScoreServer() as server:
        with custom_source(server, tmp_path) as source:
            source.fill(rows[:-1])
        server.change(answers="constant")
        with custom_source(server, tmp_path) as source:
            assert source.fill(rows).left == 0


def test_nothing_is_sent_after_a_final_error(tmp_path: Path) -> None:
    with (
        ScoreServer(api_key="right", latency=0.05) as server,
        custom_source(server, tmp_path, pairs_per_request=4, requests_at_once=8) as source,
        pytest.raises(ProviderRejected),
    ):
        source.fill(some_rows(100, 4))
    assert len(server.log.requests) <= 8


def test_a_failed_trial_keeps_no_empty_row_even_of_few_judged_ones(tmp_path: Path) -> None:
    # Rows of 3 keys are too short to judge, so 20 requests hold only 10 judged rows.
    rows = [Row(f"query{n}", [f"key{k}" for k in range(3 if n % 2 else 8)]) for n in range(24)]
    with ScoreServer() as server:
        with custom_source(server, tmp_path) as source:
            source.fill([Row("query0", ["key0"])])
        server.change(answers="constant")
        with custom_source(server, tmp_path, rows_per_request=1, requests_at_once=1) as source:
            with pytest.raises(DegenerateReplies):
                source.fill(rows)
            assert {row.query for row in rows if len(row.keys) == 8} <= {
                row.query for row in source.missing(rows)
            }


def test_a_model_that_never_answers_usably_is_given_up_after_few_requests(tmp_path: Path) -> None:
    with (
        ScoreServer(faults=FaultPlan({"empty": 1.0})) as server,
        custom_source(server, tmp_path, pairs_per_request=20, requests_at_once=4) as source,
        pytest.raises(BadReply, match="no usable scores"),
    ):
        source.fill(some_rows(300, 20))
    assert len(server.log.requests) <= 6 * (20 + 4)


def test_requests_that_are_too_large_for_a_model_are_asked_in_smaller_ones(tmp_path: Path) -> None:
    class OnlySmall(FaultPlan):
        def draw(self, number: int) -> str | None:
            rows = read_rows(server.log.requests[-1]["body"]["messages"][1]["content"])
            return "length" if len(rows) > 1 else None

    rows = some_rows(100, 4)
    with ScoreServer() as server:
        server.change(faults=OnlySmall())
        server.log.add("", {"messages": [{}, {"content": '{"rows":[]}'}]}, None)
        with custom_source(server, tmp_path, rows_per_request=2, requests_at_once=4) as source:
            source.fill(rows)
            assert_scored(source, rows)


def test_after_a_run_without_a_usable_answer_the_same_source_asks_again(tmp_path: Path) -> None:
    rows = some_rows(2, 4)
    with (
        ScoreServer(faults=FaultPlan({"empty": 1.0})) as server,
        custom_source(server, tmp_path) as source,
    ):
        with pytest.raises(BadReply):
            source.fill(rows)
        server.change(faults=FaultPlan())
        assert source.fill(rows).left == 0


def test_failures_of_one_kind_do_not_use_up_the_tries_of_another(tmp_path: Path) -> None:
    class Mixed(FaultPlan):
        def draw(self, number: int) -> str | None:
            return dict(enumerate(["server_error", "server_error", "empty", "empty"])).get(number)

    rows = some_rows(2, 4)
    with (
        ScoreServer(faults=Mixed()) as server,
        custom_source(server, tmp_path, rows_per_request=2) as source,
    ):
        source.fill(rows)
        assert_scored(source, rows)
        assert len(server.log.requests) == 5  # the last one still asks for both rows


def test_a_run_that_ends_with_an_error_says_what_it_did(
    tmp_path: Path, told: Callable[[], str]
) -> None:
    class Later(FaultPlan):
        def draw(self, number: int) -> str | None:
            if number == 3:
                server.change(api_key="another")
            return None

    options = ScoringOptions(quiet=True, price_in=1.0, price_out=4.0)
    with (
        ScoreServer(faults=Later()) as server,
        custom_source(server, tmp_path, options, rows_per_request=1, requests_at_once=1) as source,
        pytest.raises(ProviderRejected),
    ):
        source.fill(some_rows(9, 4))
    said = told()
    assert "36 pairs, 0 cached, 16 scored now, 20 left" in said
    assert "$0.0" in said
    assert "the same command goes on from here" in said
