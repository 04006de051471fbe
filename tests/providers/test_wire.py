"""What goes over the wire, and what is made of answers in other forms than OpenAI's."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from llmattn.errors import BadReply, ProviderRejected, ProviderUnavailable
from llmattn.testing.server import ScoreServer
from support_providers import KEY, NAMES, ROWS, ask, expected, make

every_plugin = pytest.mark.parametrize("name", NAMES)


@contextmanager
def answering(status: str, body: bytes, *headers: str) -> Iterator[tuple[str, list[bytes]]]:
    """The origin of a server that answers everything alike, and what it received."""
    received: list[bytes] = []
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close"]
    answer = "\r\n".join([*lines, "", ""]).encode() + body

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                received.append(connection.recv(1 << 20))
                connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", received
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize(
    "body",
    [
        b'{"error":{"message":"no such thing"}}',
        b'{"error":"no such thing"}',
        b'{"detail":"no such thing"}',
        b'"no such thing"',
        b"no such thing",
    ],
)
def test_a_servers_words_are_told_whatever_their_form(body: bytes) -> None:
    with (
        answering("403 Forbidden", body) as (origin, _),
        pytest.raises(ProviderRejected, match=r"answered 403: 'no such thing'"),
    ):
        ask(make("custom", f"{origin}/v1"))


def test_an_answer_that_is_no_http_is_an_error_of_ours() -> None:
    with (
        answering("nonsense", b"") as (origin, _),
        pytest.raises((BadReply, ProviderUnavailable), match="cannot be read"),
    ):
        ask(make("custom", f"{origin}/v1"))


@every_plugin
def test_the_environments_proxy_is_used(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with answering("503 Service Unavailable", b"") as (proxy, received):
        monkeypatch.setenv("http_proxy", proxy)
        with pytest.raises(ProviderUnavailable):
            ask(make(name, "http://scores.invalid/v1"))
    assert received[0].startswith(b"POST http://scores.invalid/v1/")


@every_plugin
def test_no_proxy_is_used_for_a_host_that_is_left_out(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with ScoreServer() as server:
        assert (ask(make(name, server.url)).scores[1] == expected(ROWS[1])).all()


def test_openais_project_goes_to_openai_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-planted")
    heads = {}
    for name in NAMES:
        with (
            answering("500 Internal Server Error", b"") as (origin, received),
            pytest.raises(ProviderUnavailable),
        ):
            ask(make(name, f"{origin}/v1"))
        heads[name] = received[0]
    assert {name: b"proj-planted" in head for name, head in heads.items()} == {
        "openai": True,
        "cerebras": False,
        "custom": False,
    }
    assert all(f"Bearer {KEY}".encode() in head for head in heads.values())
