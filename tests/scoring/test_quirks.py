"""Servers with more than one quirk, or with answers that are no HTTP or never end."""

from __future__ import annotations

import gzip
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from llmattn.causes import Cause
from llmattn.errors import BadReply, ProviderError
from llmattn.scoring.options import ScoringOptions
from llmattn.testing.api import Answer
from llmattn.testing.server import ScoreServer
from support_causes import CAUSES, chat, message
from support_scoring import custom_source, some_rows

_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n"


@contextmanager
def raw_server(answer: Callable[[socket.socket], None]) -> Iterator[tuple[str, list[bytes]]]:
    """The base URL of a server that says whatever ``answer`` sends, and what it received."""
    received: list[bytes] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                received.append(connection.recv(1 << 20))
                answer(connection)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/v1", received
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def _without_end(connection: socket.socket) -> None:
    connection.sendall(_HEAD + b'\r\n{"choices": "')
    while True:
        connection.sendall(b"x" * 1_000_000)


def _bomb(connection: socket.socket) -> None:
    packed = gzip.compress(b" " * 100_000_000, 1)
    connection.sendall(_HEAD + b"Content-Encoding: gzip\r\n\r\n" + packed)


@pytest.mark.parametrize("answer", [_without_end, _bomb])
def test_an_answer_that_is_too_large_is_not_read_to_its_end(
    answer: Callable[[socket.socket], None], tmp_path: Path
) -> None:
    with (
        raw_server(answer) as (url, received),
        custom_source(url, tmp_path, timeout=60) as source,
        pytest.raises(BadReply, match="it goes on after 16,777,216 bytes"),
    ):
        source.fill(some_rows(4, 4))
    assert len(received) == 3


def test_an_error_that_is_too_large_is_told_by_its_status(tmp_path: Path) -> None:
    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 401 No\r\nContent-Length: 100000000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x" * 1_000_000)

    with (
        raw_server(answer) as (url, received),
        custom_source(url, tmp_path, timeout=60) as source,
        pytest.raises(ProviderError, match="answered 401"),
    ):
        source.fill(some_rows(4, 4))
    assert len(received) == 1


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"SSH-2.0-OpenSSH_9\r\n", "Bad status line"),
        (_HEAD + b"Content-Length: -5\r\n\r\n{}", "Invalid character in Content-Length"),
        (_HEAD + b"X-Long: " + b"y" * 100_000 + b"\r\n\r\n{}", "Got more than"),
        (_HEAD + b"Content-Encoding: gzip\r\n\r\nnot packed", "content-encoding: gzip"),
        (_HEAD + b"Content-Encoding: br\r\n\r\nnot packed", "content-encoding"),
    ],
)
def test_what_cannot_be_read_as_http_is_told_in_a_line_after_three_requests(
    sent: bytes, told: str, tmp_path: Path
) -> None:
    with (
        raw_server(lambda connection: connection.sendall(sent)) as (url, received),
        custom_source(url, tmp_path) as source,
        pytest.raises(BadReply) as caught,
    ):
        source.fill(some_rows(4, 4))
    assert "The server's answer cannot be read" in str(caught.value)
    assert told in str(caught.value)
    assert "\\n" not in str(caught.value)
    assert len(received) == 3


def test_an_answer_that_ends_too_early_is_told_so(tmp_path: Path) -> None:
    cut = _HEAD + b'Content-Length: 100\r\n\r\n{"choices"'
    with (
        raw_server(lambda connection: connection.sendall(cut)) as (url, received),
        custom_source(url, tmp_path) as source,
        pytest.raises(ProviderError, match=r"broke the connection off \(its answer ends too early"),
    ):
        source.fill(some_rows(4, 4))
    assert len(received) == 5


_FAULT = message({"error": {"message": "Oh dear"}}, 500)
_NO_SCHEMA = message({"error": {"message": "json_schema: not supported"}}, 500)


@pytest.mark.parametrize(
    "answers",
    [
        [_NO_SCHEMA],
        [_FAULT, chat("No.")],
        [_FAULT, chat("No."), Answer(200, b""), chat(None, refusal="No.")],
        [message({"error": {"message": "temperature: not supported"}}, 400), _FAULT],
    ],
)
def test_faults_and_useless_replies_together_cost_five_requests(
    answers: list[Answer], tmp_path: Path
) -> None:
    with (
        ScoreServer(script=lambda number, body: answers[number % len(answers)]) as server,
        custom_source(server, tmp_path) as source,
        pytest.raises(ProviderError),
    ):
        source.fill(some_rows(40, 20))
    assert server.log.received <= 5


@pytest.mark.parametrize("most", [1, 2, 3])
def test_no_more_requests_are_sent_than_allowed_though_the_server_refuses_forms(
    most: int, tmp_path: Path
) -> None:
    refuse = ("exact_schema", "json_schema", "json_object", "temperature")
    options = ScoringOptions(quiet=True, max_requests=most)
    with (
        ScoreServer(refuse=refuse) as server,
        custom_source(server, tmp_path, options) as source,
    ):
        report = source.fill(some_rows(4, 4))
        assert report.usage.requests == server.log.received == most
        assert report.stopped is not None
        assert "--max-requests" in report.stopped


def test_a_look_at_the_list_of_models_is_within_the_requests_allowed(tmp_path: Path) -> None:
    unknown = message({"error": {"message": "no such model"}}, 404)
    with (
        ScoreServer(script=lambda number, body: unknown) as server,
        custom_source(server, tmp_path, ScoringOptions(quiet=True, max_requests=1)) as source,
        pytest.raises(ProviderError, match="no such model"),
    ):
        source.fill(some_rows(4, 4))
    assert server.log.received == 1


def test_a_limit_in_tokens_does_not_hold_back_the_first_request(tmp_path: Path) -> None:
    with (
        ScoreServer(script=lambda number, body: CAUSES["a wrong key"](body)) as server,
        custom_source(server, tmp_path, ScoringOptions(quiet=True, tpm=1)) as source,
        pytest.raises(ProviderError, match="Check the key"),
    ):
        source.fill(some_rows(4, 4))
    assert server.log.received == 1


def test_what_ended_a_run_is_told_once(tmp_path: Path, told: Callable[[], str]) -> None:
    with (
        ScoreServer(script=lambda number, body: CAUSES["a web page"](body)) as server,
        custom_source(server, tmp_path) as source,
        pytest.raises(BadReply, match="web page"),
    ):
        source.fill(some_rows(4, 4))
    assert "web page" not in told()


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b": keep-alive\n\ndata: {}\n\n", Cause.STREAM),
        (b"\n<!-- welcome -->\n<html></html>", Cause.WEB_PAGE),
    ],
)
def test_streams_and_pages_are_known_by_how_they_may_begin(
    body: bytes, cause: Cause, tmp_path: Path
) -> None:
    with (
        ScoreServer(script=lambda number, _: Answer(200, body)) as server,
        custom_source(server, tmp_path) as source,
        pytest.raises(BadReply) as caught,
    ):
        source.fill(some_rows(4, 4))
    assert caught.value.cause is cause


def test_an_error_that_a_gateway_wraps_counts_as_what_it_says(tmp_path: Path) -> None:
    wrapped = message({"error": {"error": {"message": "Who is it?", "code": 401}}})
    with (
        ScoreServer(script=lambda number, body: wrapped) as server,
        custom_source(server, tmp_path) as source,
        pytest.raises(ProviderError, match="Check the key"),
    ):
        source.fill(some_rows(4, 4))
    assert server.log.received == 1


def test_a_server_that_only_takes_less_says_how_to_ask_less(tmp_path: Path) -> None:
    too_long = message({"error": {"message": "context length exceeded: 500 tokens"}}, 400)
    with (
        ScoreServer(script=lambda number, body: too_long) as server,
        custom_source(server, tmp_path) as source,
        pytest.raises(ProviderError, match="pairs_per_request=256"),
    ):
        source.fill(some_rows(60, 20))
    assert server.log.received <= 5
