"""Scoring against llmock, a server by others that judges how its clients behave."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from llmattn.errors import BadReply
from llmattn.scoring.options import ScoringOptions
from support_scoring import custom_source, some_rows

KEY = "sk-of-this-test"


def call(url: str, body: object = None) -> Any:
    """GET, or POST ``body``; gives the JSON of the answer."""
    request = urllib.request.Request(
        url,
        None if body is None else json.dumps(body).encode(),
        {"Content-Type": "application/json", "Authorization": f"Bearer {KEY}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


@contextmanager
def llmock(*options: str) -> Iterator[str]:
    """The origin of a running llmock."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    origin = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-c", "from llmock.cli import app; app()", "serve"]
    where = ["--host", "127.0.0.1", "--port", str(port), "--log-level", "error"]
    with subprocess.Popen([*command, *where, *options]) as server:
        try:
            deadline = time.monotonic() + 60
            while True:
                try:
                    call(f"{origin}/_llmock/reset", {})
                    break
                except OSError:
                    assert time.monotonic() < deadline, "llmock did not start"
                    assert server.poll() is None, "llmock ended"
                    time.sleep(0.1)
            yield origin
        finally:
            server.terminate()


def ask_llmock(origin: str, folder: Path, most: int, rows: int = 3) -> Any:
    """Fill a cache from it, again each time that it is given up, since it never gives scores,
    until ``most`` requests are sent; gives the last report. None of its words are kept.
    """
    limits = ScoringOptions(quiet=True, max_requests=most)
    settings = {"model": "gpt-4o", "api_key": KEY, "rows_per_request": 1, "requests_at_once": 4}
    with custom_source(f"{origin}/v1", folder, limits, **settings) as source:
        asked = some_rows(rows, 8)
        for _ in range(most):
            try:
                report = source.fill(asked)
                break
            except BadReply:
                assert sum(len(row.keys) for row in source.missing(asked)) == 8 * rows
    return report


def test_a_quota_is_kept_to_the_servers_satisfaction(tmp_path: Path) -> None:
    with llmock("--rpm", "60") as origin:
        words = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
        for _ in range(58):  # what is left of the minute's quota is less than the run asks for
            call(f"{origin}/v1/chat/completions", words)
        report = ask_llmock(origin, tmp_path, most=8)
        verdict = call(f"{origin}/_llmock/verdict")
    assert "All requests allowed (8)" in report.stopped
    assert verdict["faults_injected"] >= 1
    assert verdict["passed"], verdict


def test_refusals_at_random_are_waited_out_to_the_servers_satisfaction(tmp_path: Path) -> None:
    with llmock("--error-rate", "429=0.3") as origin:
        ask_llmock(origin, tmp_path, most=16)
        verdict = call(f"{origin}/_llmock/verdict")
    assert verdict["faults_injected"] >= 1
    assert verdict["passed"], verdict


def test_words_in_place_of_scores_end_in_one_clear_error(tmp_path: Path) -> None:
    with (
        llmock() as origin,
        custom_source(f"{origin}/v1", tmp_path, model="gpt-4o", api_key=KEY) as source,
        pytest.raises(BadReply, match=r"No row.*no usable scores.*--debug"),
    ):
        source.fill(some_rows(3, 8))
