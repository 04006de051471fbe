"""Several processes on one cache send, together, what one of them would have to send."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from faults.sharing import SCORE, TRAIN, Counted, count, write_text
from llmattn.cache.claims import FolderClaims
from llmattn.cache.protocol import Numbers
from llmattn.testing.server import ScoreServer
from support_cache import RedisServer
from support_cli import start_process
from support_scoring import QUIET, assert_scored, custom_source, some_rows

MOST = 0.05


def assert_shared(counted: Counted, killed: int = 0) -> None:
    assert [code for code in counted.codes if code] == [-9] * killed, counted.errors
    assert counted.needed <= counted.sent <= (1 + MOST) * counted.needed
    assert killed or not counted.repeated


def test_four_at_once_send_what_one_needs(tmp_path: Path) -> None:
    assert_shared(count(tmp_path, [SCORE] * 4))


@pytest.mark.long
def test_scoring_beside_training_sends_what_one_needs(tmp_path: Path) -> None:
    assert_shared(count(tmp_path, [SCORE, TRAIN], apart=0.5))


def test_what_a_killed_process_was_asking_for_is_asked_by_the_others(tmp_path: Path) -> None:
    assert_shared(count(tmp_path, [SCORE] * 2, kill_after=40), killed=1)


@pytest.mark.long
def test_scores_in_context_are_shared_too(tmp_path: Path) -> None:
    context = ("--scope", "prefix", "--block-size", "16")
    assert_shared(count(tmp_path, [SCORE] * 2, *context, latency=0.02))


@pytest.mark.long
def test_machines_that_share_a_redis_server_share_the_work(tmp_path: Path) -> None:
    server = RedisServer()
    try:
        os.environ["REDIS_URL"] = server.url
        assert_shared(count(tmp_path, [SCORE] * 3, "--cache", "redis", forget=server.flush))
    finally:
        del os.environ["REDIS_URL"]
        server.kill()


def test_two_sources_of_one_process_share_with_requests_packed_otherwise(tmp_path: Path) -> None:
    rows = some_rows(40, 30)
    with ScoreServer(latency=0.02) as server:
        with (
            custom_source(server, tmp_path, pairs_per_request=100) as one,
            custom_source(server, tmp_path, pairs_per_request=70, rows_per_request=3) as two,
            ThreadPoolExecutor(2) as pool,
        ):
            reports = list(pool.map(lambda source: source.fill(rows), (one, two)))
            assert_scored(one, rows)
        assert [report.left for report in reports] == [0, 0]
        assert sum(report.scored for report in reports) == 1200
        assert not any(n > 1 for n in server.log.answered.values())


def test_a_process_that_waits_says_for_whom(tmp_path: Path) -> None:
    write_text(tmp_path / "corpus.txt", lines=10)
    options = ("corpus.txt", "--provider", "custom", "--model", "test-model")
    with ScoreServer(latency=6) as server:
        runs = [
            start_process(tmp_path, "score", *options, CUSTOM_BASE_URL=server.url) for _ in range(2)
        ]
        said = [run.communicate(timeout=100)[1] for run in runs]
    waiting = [text for text in said if "waiting for" in text]
    assert len(waiting) == 1
    other = runs[1 - said.index(waiting[0])]
    assert f"pairs that process {other.pid} on " in waiting[0]


def test_a_claim_is_of_one_until_it_is_given_back(tmp_path: Path) -> None:
    one, two = FolderClaims(tmp_path), FolderClaims(tmp_path)
    numbers: Numbers = np.arange(5, dtype=np.uint64)
    assert not one.claim({0: numbers})[0].numbers.any()
    taken = two.claim({0: numbers[3:], 1: numbers[4:] + np.uint64(1)})
    assert taken[0].numbers.all()
    assert taken[0].holders
    assert not taken[1].numbers.any()
    one.release(0)
    one.renew()
    assert not two.taken(numbers).numbers.any()
    one.close()
    two.close()
    assert not list(tmp_path.iterdir())


def test_claims_of_the_dead_count_no_more_and_leave_nothing(tmp_path: Path) -> None:
    numbers: Numbers = np.arange(5, dtype=np.uint64)
    child = os.fork()
    if child == 0:
        claims = FolderClaims(tmp_path)
        claims.claim({0: numbers})
        (tmp_path / "ready").touch()
        time.sleep(60)
        os._exit(0)
    while not (tmp_path / "ready").exists():
        time.sleep(0.01)
    mine = FolderClaims(tmp_path)
    assert mine.taken(numbers).numbers.all()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not mine.claim({0: numbers})[0].numbers.any()
    mine.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ready"]


@pytest.fixture
def unwritable(tmp_path: Path) -> Path:
    (tmp_path / "claims").write_text("no folder")
    return tmp_path


def test_where_nothing_can_be_claimed_scoring_goes_on_and_says_so(
    unwritable: Path, told: Callable[[], str]
) -> None:
    rows = some_rows(5, 5)
    with ScoreServer() as server, custom_source(server, unwritable, QUIET) as source:
        assert source.fill(rows).scored == 25
    assert "another process on this cache may ask for the same" in told()
