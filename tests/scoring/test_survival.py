"""Killing and interrupting a run of scoring: what was answered and committed is kept."""

from __future__ import annotations

import random
import signal
import subprocess
import time
from pathlib import Path

import pytest
from llmattn.testing.server import ScoreServer
from support_cli import start_process

AT_ONCE = 4


def write_corpus(path: Path, lines: int = 60) -> None:
    draw = random.Random(1)
    words = [f"w{i}" for i in range(60)]
    path.write_text("\n".join(" ".join(draw.choices(words, k=9)) for _ in range(lines)) + "\n")


def start_scoring(server: ScoreServer, tmp_path: Path, *more: str) -> subprocess.Popen[str]:
    return start_process(
        tmp_path,
        *("corpus.txt", "--provider", "custom", "--model", "test-model"),
        *("--requests-at-once", AT_ONCE, "-o", "pairs_per_request=20"),
        *("--cache-dir", "cache", *more),
        program=("-m", "llmattn.score"),
        CUSTOM_BASE_URL=server.url,
    )


def wait_for_requests(server: ScoreServer, count: int) -> None:
    deadline = time.monotonic() + 60
    while len(server.log.requests) < count:
        assert time.monotonic() < deadline, "the run sent too few requests"
        time.sleep(0.005)


def kill_and_go_on(tmp_path: Path, kills: int) -> None:
    write_corpus(tmp_path / "corpus.txt")
    draw = random.Random(2)
    with ScoreServer() as server:
        done = start_scoring(server, tmp_path, "--cache-dir", str(tmp_path / "fault-free"))
        done.communicate(timeout=60)
        fault_free = len(server.log.requests)
    lost = 0
    with ScoreServer(latency=0.02) as server:
        for _ in range(kills):
            before = len(server.log.requests)
            run = start_scoring(server, tmp_path)
            try:
                wait_for_requests(server, before + draw.randint(1, 3))
            except AssertionError:
                run.communicate(timeout=60)
                break  # everything is scored already
            time.sleep(draw.random() * 0.05)
            run.kill()
            run.communicate()
            lost += AT_ONCE
        last = start_scoring(server, tmp_path)
        out, err = last.communicate(timeout=120)
        assert last.returncode == 0, err
        assert "0 scored now" in out or "left" not in out
        assert len(server.log.requests) <= fault_free + lost
        assert server.log.summary()["most_times_one_pair"] <= 1 + kills
        again = start_scoring(server, tmp_path)
        requests = len(server.log.requests)
        out, _ = again.communicate(timeout=60)
        assert ", 0 scored now" in out
        assert len(server.log.requests) == requests


def test_kill_minus_nine_loses_at_most_the_requests_under_way(tmp_path: Path) -> None:
    kill_and_go_on(tmp_path, kills=3)


@pytest.mark.long
def test_fifty_kills_lose_at_most_the_requests_under_way(tmp_path: Path) -> None:
    kill_and_go_on(tmp_path, kills=50)


def test_ctrl_c_keeps_the_answers_under_way_and_says_how_to_go_on(tmp_path: Path) -> None:
    write_corpus(tmp_path / "corpus.txt")
    with ScoreServer(latency=0.3) as server:
        run = start_scoring(server, tmp_path)
        wait_for_requests(server, AT_ONCE)
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=60)
        assert run.returncode == 130
        assert "the same command goes on from here" in err
        assert "Traceback" not in err
        answered = server.log.summary()["distinct_pairs"]
        assert answered > 0
        again = start_scoring(server, tmp_path)
        out, _ = again.communicate(timeout=60)
        assert server.log.summary()["most_times_one_pair"] == 1
        assert f"{answered:,} cached" in out
