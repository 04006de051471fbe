"""Batches in the hands of several processes: each works alone, and each cost is counted once."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from llmattn.cache.protocol import ScoreCache
from llmattn.rows import Row
from llmattn.testing.server import ScoreServer
from support_batches import (
    CORPUS,
    ROWS,
    command,
    hand_over,
    opened,
    pairs_of,
    setup,
    spent,
    until_ended,
)
from support_cli import start_process
from support_scoring import assert_scored

BATCH = ("score", "corpus.txt", "--batch")


def test_two_that_hand_over_at_once_hand_over_each_pair_once(tmp_path: Path) -> None:
    with ScoreServer() as server, opened(server, tmp_path) as (_, one):
        with opened(server, tmp_path) as (_, other), ThreadPoolExecutor(2) as threads:
            first, second = threads.map(lambda batches: batches.submit([ROWS]), (one, other))
        assert not pairs_of(first) & pairs_of(second)
        assert len(pairs_of(first) | pairs_of(second)) == 47
        assert server.batches.begun == 1
        assert len(server.log.requests) == 1


def test_several_that_collect_at_once_keep_a_batch_and_count_its_cost_once(
    tmp_path: Path,
) -> None:
    with ExitStack() as stack:
        server = stack.enter_context(ScoreServer())
        many = [stack.enter_context(opened(server, tmp_path)) for _ in range(4)]
        source, batches = many[0]
        pending = hand_over(batches)
        for _, one in many:
            until_ended(one, pending)
        with ThreadPoolExecutor(4) as threads:
            got = threads.map(lambda each: each[1].collect(pending).scored, many)
            assert sorted(got) == [0, 0, 0, 47]
        assert_scored(source, ROWS)
        assert spent(source).requests == 13


def test_of_two_commands_at_once_one_collects_and_none_fails(tmp_path: Path) -> None:
    with ScoreServer(batch_polls=0) as server:
        command(tmp_path, server, *BATCH)
        started = [start_process(tmp_path, *BATCH, **setup(server)) for _ in range(2)]
        said = [process.communicate(timeout=120) for process in started]
        assert [process.returncode for process in started] == [0, 0], said
        assert sum("pairs kept" in out for out, _ in said) == 1
        assert all("Everything is scored." in out for out, _ in said)
        stats = json.loads(command(tmp_path, server, "cache", "stats", "--json").stdout)
        (space,) = stats["namespaces"]
        assert space["usage"]["requests"] == len(server.log.requests) == 2
        assert server.log.summary()["most_times_one_pair"] == 1


def test_whoever_waits_says_for_whom(tmp_path: Path, told: Callable[[], str]) -> None:
    said = ""
    with ScoreServer() as server, opened(server, tmp_path) as (_, one):
        with opened(server, tmp_path) as (_, other), ThreadPoolExecutor(1) as threads:
            with one.alone():
                second = threads.submit(other.submit, [ROWS])
                while "waiting until it is done" not in said:
                    time.sleep(0.01)
                    said += told()
                assert server.batches.begun == 0
            assert second.result().pending
        assert f"in the hands of process {os.getpid()} on " in said


def test_nothing_is_called_scored_that_another_has_just_handed_over(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text(CORPUS)
    with ScoreServer(batch_latency=1, batch_polls=100) as server:
        first = start_process(tmp_path, *BATCH, **setup(server))
        while not server.batches.batches:
            time.sleep(0.02)
        second = command(tmp_path, server, *BATCH)
        out, err = first.communicate(timeout=120)
        assert first.returncode == second.returncode == 0, (err, second.stderr)
        assert "waiting until it is done" in second.stderr
        assert "Everything is scored." not in out + second.stdout
        assert (out + second.stdout).count("1 request handed over") == 1
        assert server.batches.begun == 1


def test_a_killed_hand_over_is_found_at_the_server_and_is_not_paid_again(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text(CORPUS)
    with ScoreServer(batch_latency=60) as server:
        process = start_process(tmp_path, *BATCH, **setup(server))
        while not server.batches.batches:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        server.change(batch_latency=0)
        second = command(tmp_path, server, *BATCH)
        assert "broke off, but had arrived: batch batch_0" in second.stderr
        for _ in range(3):
            last = command(tmp_path, server, *BATCH)
        assert "Everything is scored." in last.stdout, last.stderr
        assert server.batches.begun == 1
        assert server.log.summary()["most_times_one_pair"] == 1


class Dies:
    """A cache whose process dies while it stores: before, or just after all is safe."""

    def __init__(self, cache: ScoreCache, *, after: bool) -> None:
        self._cache, self._after = cache, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cache, name)

    def put(self, *answers: Any) -> None:
        if self._after:
            self._cache.put(*answers)
        raise KeyboardInterrupt


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("others", [0, 20])
def test_a_cost_is_counted_once_wherever_a_collector_dies(
    tmp_path: Path, after: bool, others: int
) -> None:
    with ScoreServer() as server:
        with opened(server, tmp_path) as (source, batches):
            pending = hand_over(batches)
            until_ended(batches, pending)
            source.cache = Dies(source.cache, after=after)
            with pytest.raises(KeyboardInterrupt):
                batches.collect(pending)
        with opened(server, tmp_path) as (source, batches):
            source.fill([Row(f"other{n}", ("a", "b", "c", "d")) for n in range(others)])
            before = len(server.log.requests) - 12
            assert batches.collect(pending).scored == 47
            assert spent(source).requests == before + 12
            assert_scored(source, ROWS)
            assert not batches.pending()


@pytest.mark.parametrize("after", [False, True])
def test_the_cost_of_a_batch_without_any_usable_answer_is_counted_once(
    tmp_path: Path, after: bool
) -> None:
    with ScoreServer() as server:
        with opened(server, tmp_path) as (source, batches):
            pending = hand_over(batches)
            server.change(answers=lambda query, keys, criterion: [])
            until_ended(batches, pending)
            source.cache = Dies(source.cache, after=after)
            with pytest.raises(KeyboardInterrupt):
                batches.collect(pending)
        with opened(server, tmp_path) as (source, batches):
            got = batches.collect(pending)
            assert (got.scored, got.failed) == (0, 12)
            assert spent(source).requests == 13
            assert got.usage.cost > 0
