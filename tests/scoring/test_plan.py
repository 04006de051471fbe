"""`llmattn plan`: what scoring would take, without a request."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from llmattn.testing.server import ScoreServer
from support_cli import FAILED, Done, run_cli

CORPUS = "the cat eats fish .\nthe dog eats meat .\nthe cat sees the dog .\n" * 10


def run(tmp_path: Path, server: ScoreServer, *arguments: str) -> Done:
    (tmp_path / "corpus.txt").write_text(CORPUS)
    command, *options = arguments
    asked = ("-p", "custom", "--model", "test-model", "--cache-dir", "cache")
    return run_cli(tmp_path, command, "corpus.txt", *options, *asked, CUSTOM_BASE_URL=server.url)


def plan(tmp_path: Path, server: ScoreServer, *arguments: str) -> dict[str, Any]:
    done = run(tmp_path, server, "plan", "--json", *arguments)
    assert done.returncode == 0, done.stderr
    (found,) = json.loads(done.stdout)
    assert isinstance(found, dict)
    return found


def test_a_plan_sends_nothing_and_counts_what_scoring_then_asks(tmp_path: Path) -> None:
    with ScoreServer() as server:
        before = plan(tmp_path, server)
        assert not server.log.requests
        done = run(tmp_path, server, "score")
        assert done.returncode == 0, done.stderr
        assert server.log.summary()["distinct_pairs"] == before["pairs"]
        assert len(server.log.requests) == before["curve"][-1]["usage"]["requests"]
        after = plan(tmp_path, server)
    assert after["cached"] == after["pairs"] == before["pairs"]
    assert after["curve"][-1]["usage"]["requests"] == 0


def test_dollars_follow_the_prices_given(tmp_path: Path) -> None:
    with ScoreServer() as server:
        found = plan(tmp_path, server, "--price-in", "2", "--price-out", "8", "--rpm", "60")
    total = found["curve"][-1]
    tokens = total["usage"]
    expected = (2 * tokens["prompt_tokens"] + 8 * tokens["completion_tokens"]) / 1e6
    assert total["cost"] == pytest.approx(expected)
    assert found["minutes"] == pytest.approx(tokens["requests"] / 60)


def test_without_a_price_the_cost_is_unknown_not_zero(tmp_path: Path) -> None:
    with ScoreServer() as server:
        assert plan(tmp_path, server)["curve"][-1]["cost"] is None
        done = run(tmp_path, server, "score", "--max-cost", "1")
    assert done.returncode in FAILED
    assert "--price-in" in done.stderr


def test_the_curve_rises_to_everything(tmp_path: Path) -> None:
    with ScoreServer() as server:
        curve = plan(tmp_path, server)["curve"]
    covered = [point["coverage"] for point in curve]
    assert covered == sorted(covered)
    assert covered[-1] == pytest.approx(1)


def test_coverage_asks_for_the_frequent_pairs_only(tmp_path: Path) -> None:
    with ScoreServer() as server:
        everything = plan(tmp_path, server)["pairs"]
        some = plan(tmp_path, server, "--coverage", "0.5")
        assert some["pairs"] < everything / 2
        assert 0.5 <= some["curve"][-1]["coverage"] < 0.75
        run(tmp_path, server, "score", "--coverage", "0.5")
        assert server.log.summary()["distinct_pairs"] == some["pairs"]
        seldom = plan(tmp_path, server, "--min-pair-count", "20")
        assert seldom["pairs"] < everything


def test_a_limit_spends_on_the_most_frequent_pairs(tmp_path: Path) -> None:
    with ScoreServer() as server:
        small = ("-o", "pairs_per_request=2", "-o", "requests_at_once=1", "--max-requests", "1")
        done = run(tmp_path, server, "score", *small)
        assert done.returncode == 0, done.stderr
        assert "Stopped early" in done.stdout
        assert set(server.log.answered) <= {("the", "the"), (".", "the"), (".", ".")}


def test_the_plan_tells_what_a_limited_run_takes(tmp_path: Path) -> None:
    small = ("-o", "pairs_per_request=4")
    with ScoreServer() as server:
        found = plan(tmp_path, server, *small)
        assert found["staged"]["requests"] > found["curve"][-1]["usage"]["requests"]
        run(tmp_path, server, "score", *small, "--max-requests", "1000")
        assert len(server.log.requests) == found["staged"]["requests"]


def test_the_picture_is_drawn(tmp_path: Path) -> None:
    with ScoreServer() as server:
        done = run(tmp_path, server, "plan", "--plot", "plan.png", "--price-in", "1")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "plan.png").read_bytes().startswith(b"\x89PNG")
