"""The test server is itself right: others' tests rest on it."""

from __future__ import annotations

import json
import signal
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from llmattn.testing.faults import FAULTS, FaultPlan
from llmattn.testing.server import ScoreServer
from support_cli import start_process
from support_providers import ROWS, ask, make


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as answer:
        return json.load(answer)


def test_it_runs_as_a_process_of_its_own_and_stops_at_sigterm(tmp_path: Path) -> None:
    program = ("-m", "llmattn.testing.server")
    with start_process(tmp_path, "--fault", "prose=1.0", program=program) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        ask(make("custom", url))
        summary = get(url.removesuffix("/v1") + "/admin/summary")
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
    assert summary["requests"] == 1
    assert summary["faults"] == {"prose": 1}


def test_the_admin_urls_tell_what_was_asked() -> None:
    with ScoreServer() as server:
        ask(make("custom", server.url))
        ask(make("custom", server.url), ROWS[:1])
        pairs = get(f"{server.origin}/admin/pairs")
        requests = get(f"{server.origin}/admin/requests")
    assert pairs == [
        ["eats", "cat", 2],
        ["eats", "of", 2],
        ["eats", "the", 2],
        ["ran", "a dog", 1],
        ["ran", "dog", 1],
    ]
    assert [request["number"] for request in requests] == [0, 1]


def test_a_pair_that_met_a_fault_is_not_counted_as_answered() -> None:
    with ScoreServer(faults=FaultPlan({"too_few": 1.0})) as server:
        ask(make("custom", server.url))
        assert server.log.summary()["pairs_answered"] == 0


def test_the_same_seed_draws_the_same_faults() -> None:
    plan, same, other = (FaultPlan.evenly(0.5, seed=seed) for seed in (1, 1, 2))
    drawn = [plan.draw(i) for i in range(200)]
    assert drawn == [same.draw(i) for i in range(200)]
    assert drawn != [other.draw(i) for i in range(200)]


def test_faults_come_as_often_as_planned() -> None:
    plan = FaultPlan.evenly(0.3)
    drawn = Counter(plan.draw(i) for i in range(20_000))
    assert 0.68 < drawn[None] / 20_000 < 0.72
    assert set(drawn) - {None} == set(FAULTS)


@pytest.mark.parametrize("faults", [{"fire": 0.1}, {"reset": 1.5}, {"reset": 0.6, "stall": 0.6}])
def test_a_plan_that_makes_no_sense_is_refused(faults: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"fire|\[0, 1\]|more than 1"):
        FaultPlan(faults)


@pytest.mark.parametrize(
    ("answers", "first"),
    [("constant", [5, 5, 5]), ("counting", [1, 2, 3]), ("saturated", [9, 9, 0])],
)
def test_it_can_answer_as_models_do_that_cannot_score(answers: str, first: list[int]) -> None:
    with ScoreServer(answers=answers) as server:
        scores = ask(make("custom", server.url)).scores[0]
    assert (scores * 9).round().astype(int).tolist() == [first]


def test_a_port_in_use_is_an_error_of_the_caller() -> None:
    with ScoreServer() as server:
        port = int(server.origin.rpartition(":")[2])
        with pytest.raises(OSError, match="in use"), ScoreServer(port=port):
            pass
