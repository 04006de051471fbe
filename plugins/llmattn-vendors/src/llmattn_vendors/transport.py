"""What a vendor's library sends goes out here: once, over our own connections, to one address."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Protocol
from urllib.parse import urlsplit

import httpx2
from attrs import define
from llmattn.plugin import ProviderError, ProviderRejected
from llmattn_openai.refusal import Refused
from llmattn_openai.wire import HttpAnswer

__all__ = ["EXCHANGE", "Exchange", "Sender", "Stopped", "Transport", "carry"]

_SENT = frozenset(
    "accept content-type user-agent anthropic-version anthropic-beta x-goog-user-project".split()
)
"""Headers that say nothing of the user: libraries add more, some from the environment."""
_KEYS = frozenset(("authorization", "x-api-key", "x-goog-api-key"))
_LIMIT = re.compile(r"anthropic-ratelimit-(requests|tokens)-(remaining|reset)")
_DELAY = re.compile(rb'"retryDelay"\s*:\s*"(\d{1,6}(?:\.\d{1,9})?)s"')


class Stopped(Exception):
    """Ends a library's work on a request whose answer it is not to see."""


class Sender(Protocol):
    """What carries a request; see ``llmattn_openai.endpoint.Endpoint.send``."""

    async def send(
        self, method: str, url: str, data: bytes | None, headers: Mapping[str, str] | None = None
    ) -> HttpAnswer: ...


@define
class Exchange:
    """The one request that a library may send for one of ours, and what became of it."""

    sent: bool = False
    answer: HttpAnswer | None = None
    failure: ProviderError | Refused | None = None


EXCHANGE: ContextVar[Exchange] = ContextVar("EXCHANGE")


async def carry(
    sender: Sender,
    base: str,
    key: str,
    method: str,
    url: str,
    body: bytes,
    headers: Iterable[tuple[str, str]],
) -> HttpAnswer:
    """The answer to a library's request, if it says success.

    Nothing is sent to another address than ``base``, by whatever the library was moved; nor more
    than once for one request of ours; nor a header that holds another key than ``key``. Raises
    Stopped, and tells the exchange why.
    """
    exchange = EXCHANGE.get()
    if exchange.sent:
        raise Stopped("it was sent before, and what follows is llmattn's to decide")
    exchange.sent = True
    try:
        if not _within(url, base):
            raise ProviderRejected(
                f"The vendor's library would send the request to {urlsplit(url).netloc}, and not "
                f"to {base}: nothing was sent. Does a variable of the environment name that "
                "address?"
            )
        kept = {
            name: text
            for name, text in headers
            if name.lower() in _SENT or (name.lower() in _KEYS and key in text)
        }
        answer = await sender.send(method, url, body, kept)
    except Refused as refused:
        exchange.failure = refused
        raise Stopped(str(refused)) from None
    except ProviderError as error:
        exchange.failure = error
        raise Stopped(str(error)) from None
    exchange.answer = HttpAnswer(
        answer.status, told_as_openai(answer.headers, answer.body), answer.body
    )
    return answer


def told_as_openai(headers: Mapping[str, str], body: bytes) -> Mapping[str, str]:
    """``headers`` with what Anthropic and Google say of limits under the names that OpenAI has."""
    found = httpx2.Headers(list(headers.items()))
    for name, text in headers.items():
        if limit := _LIMIT.fullmatch(name.lower()):
            found[f"x-ratelimit-{limit[2]}-{limit[1]}"] = text
    if "retry-after" not in found and (delay := _DELAY.search(body[:20_000])):
        found["retry-after"] = delay[1].decode()
    return found


class Transport(httpx2.AsyncBaseTransport):
    """Takes the place of the network in a library that sends by httpx2."""

    def __init__(self, sender: Sender, base: str, key: str) -> None:
        self._sender, self._base, self._key = sender, base, key

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        body = await request.aread()
        answer = await carry(
            self._sender,
            self._base,
            self._key,
            request.method,
            str(request.url),
            body,
            request.headers.items(),
        )
        headers = {"content-type": answer.headers.get("content-type", "application/json")}
        return httpx2.Response(answer.status, headers=headers, content=answer.body)


def _within(url: str, base: str) -> bool:
    asked, allowed = urlsplit(url), urlsplit(base)
    same = (asked.scheme, asked.hostname, asked.port) == (
        allowed.scheme,
        allowed.hostname,
        allowed.port,
    )
    return same and asked.path.startswith(f"{allowed.path.rstrip('/')}/")
