"""A server that sends requests on elsewhere: nothing follows, and no key."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from llmattn.errors import ProviderError, ProviderRejected
from llmattn.rows import Row
from support_providers import KEY, NAMES, ROWS, ask, make
from support_trust import Seen, Stranger

Answer = tuple[int, dict[str, str], bytes]
STATUSES = (301, 302, 303, 307, 308)


@pytest.fixture
def stranger() -> Iterator[Stranger]:
    """Where the requests are sent on to: another host, by its name, and another port."""
    with Stranger() as server:
        yield server
        assert [request.text for request in server.seen] == []


def elsewhere(stranger: Stranger, host: str) -> Callable[[Seen], str]:
    return lambda request: f"http://{host}:{stranger.port}{request.path}"


def sending_on(status: int, to: Callable[[Seen], str]) -> Callable[[Seen], Answer]:
    return lambda request: (status, {"Location": to(request)}, b"")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_request_that_is_sent_on_is_an_error_that_names_the_address(
    stranger: Stranger, name: str, status: int, host: str
) -> None:
    with (
        Stranger(sending_on(status, elsewhere(stranger, host))) as server,
        pytest.raises(ProviderRejected) as caught,
    ):
        ask(make(name, server.url))
    message = str(caught.value)
    assert f"answered {status}: it sends the request on to" in message
    assert f"-o {name}.base_url=http://{host}:{stranger.port}/v1" in message
    assert len(server.seen) == 1
    assert KEY not in message


@pytest.mark.parametrize("target", ["/elsewhere/v1/chat/completions", "//127.0.0.1:1/v1", "other"])
def test_a_relative_address_is_named_in_full(target: str) -> None:
    with (
        Stranger(sending_on(307, lambda _: target)) as server,
        pytest.raises(ProviderRejected, match=r"sends the request on to 'http://127\.0\.0\.1:\d+/"),
    ):
        ask(make("custom", server.url))
    assert len(server.seen) == 1


@pytest.mark.parametrize(
    "target", ["http://[", "http://host:port/", "\x9b2J\x9b31m", "javascript:alert(1)", ""]
)
def test_an_address_that_is_none_is_told_harmlessly(target: str) -> None:
    with (
        Stranger(sending_on(302, lambda _: target)) as server,
        pytest.raises(ProviderError, match="answered 302") as caught,
    ):
        ask(make("custom", server.url))
    assert str(caught.value).isprintable()


def test_a_key_in_the_new_address_is_hidden(stranger: Stranger) -> None:
    def with_key(request: Seen) -> str:
        (token,) = (line.split()[-1] for line in request.headers.splitlines() if "Bearer" in line)
        return f"http://me:{token}@127.0.0.1:{stranger.port}/{token}?key={token}"

    with Stranger(sending_on(307, with_key)) as server, pytest.raises(ProviderRejected) as caught:
        ask(make("custom", server.url))
    assert KEY not in str(caught.value)


def test_a_list_of_models_that_is_sent_on_is_not_followed(stranger: Stranger) -> None:
    def answer(request: Seen) -> Answer:
        if request.method == "GET":
            return 302, {"Location": f"{stranger.url}/models"}, b""
        return 404, {}, b'{"error": {"message": "no such model"}}'

    with Stranger(answer) as server, pytest.raises(ProviderRejected, match="404"):
        ask(make("custom", server.url))
    assert [request.method for request in server.seen] == ["POST", "GET"]


async def _submit(provider: Any) -> None:
    await provider.submit_batch([ROWS], "mark")


async def _find(provider: Any) -> None:
    await provider.find_batch("mark")


async def _status(provider: Any) -> None:
    await provider.batch_status("batch_1")


async def _collect(provider: Any) -> None:
    await provider.collect_batch("batch_1", [[Row("a", ("b",))]])


@pytest.mark.parametrize("call", [_submit, _find, _status, _collect])
@pytest.mark.parametrize("status", STATUSES)
def test_no_call_of_a_batch_is_sent_on(stranger: Stranger, call: Any, status: int) -> None:
    async def once(url: str) -> None:
        provider = make("openai", url)
        try:
            await call(provider)
        finally:
            await provider.aclose()

    with (
        Stranger(sending_on(status, elsewhere(stranger, "localhost"))) as server,
        pytest.raises(ProviderRejected, match="sends the request on to") as caught,
    ):
        asyncio.run(once(server.url))
    assert f"-o openai.base_url=http://localhost:{stranger.port}/v1" in str(caught.value)
    assert len(server.seen) == 1


def test_the_content_of_a_file_that_is_sent_on_is_not_fetched(stranger: Stranger) -> None:
    batch = (
        b'{"id": "batch_1", "object": "batch", "status": "completed", "output_file_id": "file_1",'
        b'"created_at": 1, "endpoint": "/v1/responses", "input_file_id": "f",'
        b'"completion_window": "24h"}'
    )

    def answer(request: Seen) -> Answer:
        if request.path.endswith("/content"):
            return 302, {"Location": f"{stranger.url}/content"}, b""
        return 200, {"Content-Type": "application/json"}, batch

    async def once(url: str) -> None:
        provider = make("openai", url)
        try:
            await _collect(provider)
        finally:
            await provider.aclose()

    with (
        Stranger(answer) as server,
        pytest.raises(ProviderRejected, match="sends the request on to"),
    ):
        asyncio.run(once(server.url))
