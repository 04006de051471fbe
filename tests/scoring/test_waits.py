"""Waits that a server asks for: told, bounded, and broken off by what ends the run."""

from __future__ import annotations

import re
from pathlib import Path

import anyio
import pytest
from llmattn.cache.memory import MemoryCache
from llmattn.cache.settings import MemorySettings
from llmattn.errors import ProviderError
from llmattn.scoring.budget import Budget
from llmattn.scoring.limiter import AdaptiveLimiter
from llmattn.scoring.options import ScoringOptions
from llmattn.scoring.report import FillReport
from llmattn.scoring.scorer import Scorer
from llmattn.testing.api import Answer
from llmattn.testing.server import ScoreServer
from support_causes import message
from support_cli import FAILED, run_cli
from support_providers import make
from support_scoring import custom_source, some_rows


def test_an_error_in_an_answer_that_says_429_is_waited_for(tmp_path: Path) -> None:
    def script(number: int, body: dict[str, object]) -> Answer | None:
        busy = {"error": {"message": "Slow down", "type": "rate_limit_exceeded"}}
        return message(busy, Retry_After="0.1") if number < 7 else None

    rows = some_rows(4, 4)
    with ScoreServer(script=script) as server, custom_source(server, tmp_path) as source:
        assert source.fill(rows).left == 0


@pytest.mark.parametrize("asked", ["Fri, 31 Dec 99999 23:59:59 GMT", "-5", "soon", "1,5", "٣٠٠٠"])
def test_no_retry_after_is_a_crash(asked: str, tmp_path: Path) -> None:
    def script(number: int, body: dict[str, object]) -> Answer | None:
        sendable = asked.encode().decode("latin-1")
        return message({"error": "busy"}, 429, Retry_After=sendable) if number == 0 else None

    rows = some_rows(4, 4)
    with ScoreServer(script=script) as server, custom_source(server, tmp_path) as source:
        assert source.fill(rows).left == 0


def test_a_long_wait_is_told_once_for_all_who_wait_and_ends_with_a_stop() -> None:
    told: list[str] = []

    def script(number: int, body: dict[str, object]) -> Answer | None:
        return None if number == 0 else message({"error": "busy"}, 429, Retry_After="120")

    async def fill(url: str) -> FillReport:
        provider = make("custom", url, rows_per_request=1)
        limiter = AdaptiveLimiter(8)
        scorer = Scorer(
            provider,
            MemoryCache(MemorySettings()),
            budget=Budget(),
            limiter=limiter,
            notify=told.append,
        )
        report = FillReport()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(scorer.fill, some_rows(20, 8), report)
            while not told:
                await anyio.sleep(0.01)
            await anyio.sleep(0.3)  # time for others to tell it again
            scorer.stop("enough", 5)
        await provider.aclose()
        return report

    with ScoreServer(script=script, latency=0.05) as server:
        report = anyio.run(fill, server.url)
    assert len(told) == 1
    assert re.fullmatch(r"custom: waiting until \d\d:\d\d, as the server asked\.", told[0])
    assert (report.stopped, report.scored) == ("enough", 8)


def test_a_fill_that_was_stopped_does_not_stop_the_next() -> None:
    async def fill(url: str) -> tuple[FillReport, FillReport]:
        provider = make("custom", url, rows_per_request=1, requests_at_once=4)
        cache, limiter = MemoryCache(MemorySettings()), AdaptiveLimiter(4)
        scorer = Scorer(provider, cache, budget=Budget(), limiter=limiter)
        first, second = FillReport(), FillReport()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(scorer.fill, some_rows(40, 8), first)
            while not first.scored:
                await anyio.sleep(0.01)
            scorer.stop("interrupted", 5)
        await scorer.fill(some_rows(40, 8), second)
        await provider.aclose()
        return first, second

    with ScoreServer(latency=0.02) as server:
        first, second = anyio.run(fill, server.url)
    assert first.stopped == "interrupted"
    assert 0 < first.left == second.scored
    assert (second.left, second.stopped) == (0, None)


@pytest.mark.timeout(60)
def test_a_fatal_error_wakes_who_waits_for_a_limit_a_minute(tmp_path: Path) -> None:
    """At 60 requests a minute the last of 400 that wait together would be sent in 400 seconds."""

    def script(number: int, body: dict[str, object]) -> Answer | None:
        return None if number == 0 else message({"error": "Who are you?"}, 401)

    options = ScoringOptions(quiet=True, rpm=60, requests_at_once=400)
    with (
        ScoreServer(script=script) as server,
        custom_source(server, tmp_path, options, rows_per_request=1) as source,
    ):
        source.fill(some_rows(1, 8))
        with pytest.raises(ProviderError, match="CUSTOM_API_KEY"):
            source.fill(some_rows(400, 8))
        assert server.log.received <= 4


def test_after_a_wait_that_was_too_long_the_same_command_goes_on(tmp_path: Path) -> None:
    def script(number: int, body: dict[str, object]) -> Answer | None:
        return message({"error": "busy"}, 429, Retry_After="30") if number == 1 else None

    options = ScoringOptions(quiet=True, max_wait=5)
    rows = some_rows(3, 8)
    with ScoreServer(script=script) as server:
        with (
            custom_source(server, tmp_path, options, rows_per_request=1) as source,
            pytest.raises(ProviderError, match="--max-wait allows 5 s"),
        ):
            source.fill(rows)
        with custom_source(server, tmp_path, options) as source:
            report = source.fill(rows)
            assert report.cached > 0
            assert report.left == 0


@pytest.mark.parametrize("command", ["score", "train"])
def test_max_wait_ends_a_command_and_says_how_to_go_on(command: str, tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("the cat eats fish .\nthe dog eats meat .\n" * 10)

    def script(number: int, body: dict[str, object]) -> Answer | None:
        return None if number == 0 else message({"error": "busy"}, 429, Retry_After="60")

    arguments = ["-o", "rows_per_request=1", "-p", "custom", "--model", "test-model"]
    text = ["corpus.txt"] if command == "score" else ["--corpus", "corpus.txt"]
    with ScoreServer(script=script) as server:
        done = run_cli(
            tmp_path,
            *(command, *text, *arguments, "--max-wait", "9", "--val-fraction", "0.2"),
            CUSTOM_BASE_URL=server.url,
        )
    assert done.returncode in FAILED
    assert "allow it with --max-wait 1" in done.stderr
    assert "What was answered and kept is not lost" in done.stderr
