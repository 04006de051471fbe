"""Ctrl-C, SIGTERM and SIGHUP are one wish: what is under way is kept, what was spent is told."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from llmattn.errors import ProviderUnavailable
from llmattn.rows import Row
from llmattn.testing.faults import FaultPlan
from llmattn.testing.server import ScoreServer
from support_cli import run_cli, start_process
from support_scoring import custom_source

CORPUS = "\n".join(" ".join(f"w{i + j}" for j in range(8)) for i in range(40)) + "\n"
SCORE = ("score", "corpus.txt", "--provider", "custom", "--model", "test-model")
FEW = ("--requests-at-once", "4", "-o", "pairs_per_request=20")
SIGNALS = [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]


@contextmanager
def signal_at_request(server: ScoreServer, count: int, number: signal.Signals) -> Iterator[None]:
    """This process gets the signal once the server has as many requests under way."""

    def send() -> None:
        deadline = time.monotonic() + 120
        while server.log.in_flight < count and time.monotonic() < deadline:
            time.sleep(0.005)
        os.kill(os.getpid(), number)

    thread = threading.Thread(target=send)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def wait_until_asked(server: ScoreServer, process: subprocess.Popen[str], count: int) -> None:
    while server.log.in_flight < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


@pytest.mark.parametrize("number", SIGNALS)
def test_each_signal_awaits_the_answers_under_way_and_tells_how_long(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "corpus.txt").write_text(CORPUS)
    command = (*SCORE, *FEW, "-o", "timeout=77")
    with ScoreServer(latency=0.5) as server:
        with signal_at_request(server, 4, number):
            done = run_cli(tmp_path, *command, CUSTOM_BASE_URL=server.url)
        assert done.returncode == 128 + number
        assert "4 requests under way; waiting for up to 77 s; press Ctrl-C again" in done.stderr
        assert "the same command goes on from here" in done.stderr
        answered = server.log.summary()["distinct_pairs"]
        server.change(latency=0)
        again = run_cli(tmp_path, *command, CUSTOM_BASE_URL=server.url)
        assert f"{answered:,} cached" in again.stdout
        assert server.log.summary()["most_times_one_pair"] == 1


def test_without_a_request_under_way_nothing_is_awaited(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text(CORPUS)
    busy = FaultPlan({"rate_limit": 1.0})
    with ScoreServer(faults=busy, retry_after=300) as server:
        timer = threading.Timer(1.0, os.kill, [os.getpid(), signal.SIGTERM])
        timer.start()
        done = run_cli(tmp_path, *SCORE, CUSTOM_BASE_URL=server.url)
        timer.join()
    assert done.returncode == 143
    assert "under way" not in done.stderr


@pytest.mark.parametrize("number", SIGNALS[:2])
def test_a_second_signal_leaves_at_once_and_says_what_is_thrown_away(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "corpus.txt").write_text(CORPUS)
    with ScoreServer() as server:
        server.change(script=lambda n, _: server.change(latency=300) if n else None)
        process = start_process(tmp_path, *SCORE, *FEW, CUSTOM_BASE_URL=server.url)
        wait_until_asked(server, process, 4)
        assert process.stderr is not None
        process.send_signal(number)
        for line in process.stderr:
            if "under way" in line:
                break
        process.send_signal(number)
        _, told = process.communicate(timeout=120)
        assert process.returncode == 128 + number
        assert "4 requests under way thrown away" in told
        assert "Traceback" not in told
        kept = server.log.summary()["distinct_pairs"]
        server.change(latency=0, script=None)
        again = run_cli(tmp_path, *SCORE, *FEW, CUSTOM_BASE_URL=server.url)
    assert f" {kept} cached" in again.stdout


def test_a_signal_that_was_ignored_at_the_start_stays_ignored(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text(CORPUS)
    with ScoreServer() as server:
        before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as under nohup
        try:
            with signal_at_request(server, 0, signal.SIGHUP):
                done = run_cli(tmp_path, *SCORE, CUSTOM_BASE_URL=server.url)
        finally:
            signal.signal(signal.SIGHUP, before)
    assert done.returncode == 0


def test_library_use_leaves_signals_to_the_program(tmp_path: Path) -> None:
    before = [signal.getsignal(number) for number in SIGNALS]
    seen = []
    with ScoreServer() as server, custom_source(server, tmp_path) as source:
        server.change(script=lambda *_: seen.append([signal.getsignal(n) for n in SIGNALS]))
        source.fill([Row("cat", ["dog"])])
    assert seen == [before]


def test_an_interrupt_while_the_command_is_loaded_is_one_line(tmp_path: Path) -> None:
    for pause in (0.05, 0.1, 0.15, 0.2, 0.3, 0.4):
        process = start_process(
            tmp_path,
            program=(
                "-c",
                # The interpreter's own start cannot be ours: the pause begins after it.
                "import os, signal, threading\n"
                "from llmattn.entry import run\n"
                f"again = threading.Timer({pause}, os.kill, [os.getpid(), signal.SIGINT])\n"
                "again.daemon = True\n"
                "again.start()\n"
                "run('cache', 'path')",
            ),
        )
        _, told = process.communicate(timeout=120)
        assert told in ("", "interrupted\n")
        assert process.returncode == (130 if told else 0) or not told


def test_what_a_probe_has_spent_is_told(tmp_path: Path) -> None:
    with ScoreServer() as server:
        done = run_cli(tmp_path, *SCORE[:1], *SCORE[2:], "--probe", CUSTOM_BASE_URL=server.url)
    assert done.returncode == 0, done.stderr
    assert "120 scored now" in done.stderr
    assert "1 request" in done.stderr


def test_what_an_interrupted_probe_has_spent_is_told(tmp_path: Path) -> None:
    with ScoreServer(latency=0.3) as server, signal_at_request(server, 1, signal.SIGTERM):
        done = run_cli(tmp_path, *SCORE[:1], *SCORE[2:], "--probe", CUSTOM_BASE_URL=server.url)
    assert done.returncode == 143
    assert "1 of " in done.stderr
    assert "scored now" in done.stderr


def test_after_an_interrupt_the_next_fill_asks_again(tmp_path: Path) -> None:
    with ScoreServer(latency=0.3) as server, custom_source(server, tmp_path) as source:
        with signal_at_request(server, 1, signal.SIGINT), pytest.raises(KeyboardInterrupt):
            source.fill([Row("q", ["a", "b"])])
        assert source.fill([Row("q2", ["a", "b"])]).scored == 2


def test_after_errors_of_the_server_the_next_fill_asks_again(tmp_path: Path) -> None:
    failing = FaultPlan({"server_error": 1.0})
    with ScoreServer(faults=failing) as server, custom_source(server, tmp_path) as source:
        with pytest.raises(ProviderUnavailable):
            source.fill([Row("q", ["a", "b"])])
        server.change(faults=FaultPlan())
        assert source.fill([Row("q", ["a", "b"])]).scored == 2
